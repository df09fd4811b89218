"""Where the links in mails lead: two pages for a browser, which call the API. ``ACCOUNT_URL`` may name
others."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.views.generic import TemplateView

#: Its own script and style and nothing else; in nobody's frame.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class AccountPage(TemplateView):
    """One form. The token stands behind the ``#`` of its address and never reaches this view."""

    template_name = "users/account/page.html"
    http_method_names = ["get", "head"]
    extra_context: dict[str, Any]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(service=settings.SERVICE_NAME, **kwargs)

    def render_to_response(self, context: dict[str, Any], **options: Any) -> HttpResponse:
        response = super().render_to_response(context, **options)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


PASSWORD = {
    "title": "Choose a password",
    "says": "It signs you out wherever you are signed in.",
    "action": "/api/password/reset/confirm/",
    "button": "Set the password",
    "done": "Done. Sign in with your new password.",
    "asks_password": True,
}
INVITATION = {
    "title": "You are invited",
    "says": "Accept, and you belong to the team.",
    "action": "/api/invitations/accept/",
    "button": "Accept",
    "done": "Welcome. You can sign in now.",
    "asks_password": False,
}
