"""Who somebody is who names an address and a password: in the API, and in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser

from users.brakes import attempt_sign_in
from users.origin import Origin


class BrakedBackend(ModelBackend):
    """Django's, which takes its time for an unknown address too, with brakes on guessing.

    Raises ``TooManyAttempts``, also for the right password: whether it was is what the guesser wants to know.
    """

    def authenticate(
        self, request: Any, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> AbstractBaseUser | None:
        if username is None or password is None:
            return None
        attempt = attempt_sign_in(username, Origin.of(request))
        user = super().authenticate(request, username, password, **kwargs)
        if user is not None:
            attempt.succeeded()
        return user
