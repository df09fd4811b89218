"""Words that are near at hand here, and that a password may not live from."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError


class ContextWordsValidator:
    """A password validator of Django's kind. Refuses what has fewer than ``LEFT`` characters without the
    words in it, in any case: ``Freehold-2026!`` is one word and a date (OWASP ASVS 5, 6.2.11). One that holds
    such a word beside enough of its own is as good as another. The ids and names of a person's tenants are
    such words, too."""

    LEFT = 8

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words = {word.casefold() for word in words if word}

    def validate(self, password: str, user: Any = None) -> None:
        # The longest first, so that a word in another does not leave the rest of it.
        words = sorted(self.words | _words_of(user), key=len, reverse=True)
        # Letters that look alike, and a word that is left when another was taken out of it.
        whole = rest = unicodedata.normalize("NFKC", password).casefold()
        before = None
        while rest != before:
            before = rest
            for word in words:
                rest = rest.replace(word, "")
        if rest != whole and len(rest) < self.LEFT:
            raise ValidationError(
                "The password is little more than a word that anybody would try here.",
                code="password_of_context_words",
            )

    def get_help_text(self) -> str:
        return "Your password can't be little more than the name of this service, or of what is in it."


def _words_of(user: Any) -> set[str]:
    if user is None or user._state.adding:
        return set()
    memberships = user.memberships.model.objects.known(user)
    words = {word.casefold() for _, tenant in memberships for word in (tenant.id, *tenant.name.split())}
    return {word for word in words if len(word) > 3}  # of "The" much would be left of nothing
