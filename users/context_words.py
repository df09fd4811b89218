"""Words that are near at hand here, and that a password may not live from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError


class ContextWordsValidator:
    """A password validator of Django's kind. Refuses what has fewer than ``LEFT`` characters without the
    words in it, in any case: ``Freehold-2026!`` is one word and a date (OWASP ASVS 5, 6.2.11). One that holds
    such a word beside enough of its own is as good as another."""

    LEFT = 8

    def __init__(self, words: Iterable[str] = ()) -> None:
        # The longest first, so that a word in another does not leave the rest of it.
        self.words = sorted({word.casefold() for word in words if word}, key=len, reverse=True)

    def validate(self, password: str, user: Any = None) -> None:
        # Letters that look alike, and a word that is left when another was taken out of it.
        whole = rest = unicodedata.normalize("NFKC", password).casefold()
        before = None
        while rest != before:
            before = rest
            for word in self.words:
                rest = rest.replace(word, "")
        if rest != whole and len(rest) < self.LEFT:
            raise ValidationError(
                "The password is little more than a word that anybody would try here.",
                code="password_of_context_words",
            )

    def get_help_text(self) -> str:
        return "Your password can't be little more than the name of this service, or of what is in it."
