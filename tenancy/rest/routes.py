"""Every path of the project, and whether it asks for a token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

#: What a view of the API may not replace, or its list of permissions would not say who may call it.
_GATES = ("get_permissions", "check_permissions", "perform_authentication", "permission_denied")


@dataclass(frozen=True)
class Route:
    """One pattern of the URLconf. The admin is one: it has a sign-in of its own."""

    path: str
    callback: Any

    @property
    def view_class(self) -> Any:
        """The class of a view of the API; None for any other."""
        view_class = getattr(self.callback, "cls", None)
        return view_class if isinstance(view_class, type) and issubclass(view_class, APIView) else None

    @property
    def permissions(self) -> list[Any]:
        """As the view will have them: ``as_view(permission_classes=…)`` beats the class."""
        options = getattr(self.callback, "initkwargs", {})
        return list(options.get("permission_classes", self.view_class.permission_classes))

    @property
    def throttles(self) -> list[Any]:
        options = getattr(self.callback, "initkwargs", {})
        return list(options.get("throttle_classes", getattr(self.view_class, "throttle_classes", ())))

    @property
    def is_open(self) -> bool:
        """Whether it answers somebody without a token, as far as can be said without calling it: a plain
        view of Django, one without a permission or with ``AllowAny`` alone, or one with rules of its own."""
        if self.view_class is None or any(
            getattr(self.view_class, name) is not getattr(APIView, name) for name in _GATES
        ):
            return True
        return all(_lets_anyone_in(permission) for permission in self.permissions)


def _lets_anyone_in(permission: Any) -> bool:
    # A combination (`A | B`) is no class; it is as open as its most open part, so it has to be listed.
    return not isinstance(permission, type) or issubclass(permission, AllowAny)


def all_routes() -> list[Route]:
    """Every route of ``ROOT_URLCONF``, in its order."""
    return list(_walk(get_resolver().url_patterns, ""))


def _walk(patterns: Iterable[URLPattern | URLResolver], prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield Route(path, pattern.callback)
        elif pattern.app_name == "admin":
            yield Route(path, None)
        else:
            yield from _walk(pattern.url_patterns, path)
