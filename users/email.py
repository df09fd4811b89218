"""E-mail addresses: one person, one address, however it is typed.

Two addresses that look or fold alike must not be two accounts, or one can take over the other by asking
for the other's reset mail (CVE-2019-19844).
"""

from __future__ import annotations

import unicodedata

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email


def canonical_email(address: str) -> str:
    """The form that is compared and unique: NFKC, casefold, and NFKC again, because folding takes some
    letters apart (Unicode 3.13, toNFKC_Casefold)."""
    folded = unicodedata.normalize("NFKC", address.strip()).casefold()
    return unicodedata.normalize("NFKC", folded)


def validate_one_line(text: str) -> None:
    """Refuse what could look like more than a name in a mail of ours: line breaks, and other controls."""
    if not text.isprintable():
        raise ValidationError("Letters, digits and punctuation on one line.", code="invalid")


def validate_local_part(address: str) -> None:
    """Refuse what is not ASCII before the ``@``, unless ``USERS_UNICODE_LOCAL_PART`` allows it, and no name
    behind it.

    Django's own validator matches without regard to case and so lets 'ı', 'ſ' and the Kelvin sign pass.
    """
    validate_email(address)
    local_part, _, domain = address.rpartition("@")
    if domain.startswith("["):
        # An address of a machine, which somebody could point at one of ours.
        raise ValidationError("A name has to stand behind the @, not an IP address.", code="invalid")
    if not settings.USERS_UNICODE_LOCAL_PART and not local_part.isascii():
        raise ValidationError(
            "Only plain letters, digits and punctuation may stand before the @.", code="invalid"
        )
