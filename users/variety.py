"""How many different characters a password has."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError


class VarietyValidator:
    """A password validator of Django's kind. Refuses what repeats so few characters that its length says
    nothing: ``aaaaaaaaaaaa``. Of which kind they are is nobody's business."""

    LEAST = 5

    def validate(self, password: str, user: Any = None) -> None:
        if len(set(password.casefold())) < self.LEAST:
            raise ValidationError(
                f"The password needs at least {self.LEAST} different characters.",
                code="password_too_uniform",
            )

    def get_help_text(self) -> str:
        return f"Your password must contain at least {self.LEAST} different characters."
