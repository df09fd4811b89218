"""Mails to people. Each has a subject, a text and an HTML version: ``templates/users/mail/NAME.*``."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string


def send(name: str, to: str, **context: Any) -> None:
    """Send a mail to an address that is stored, never to one that was typed.

    Raises what the mail backend raises.
    """
    context |= {"service": settings.SERVICE_NAME}
    subject, text, html = (
        render_to_string(f"users/mail/{name}.{kind}", context) for kind in ("subject.txt", "txt", "html")
    )
    mail = EmailMultiAlternatives(" ".join(subject.split()), text, settings.DEFAULT_FROM_EMAIL, [to])
    mail.attach_alternative(html, "text/html")
    # Autoresponders should not answer, and no archive of a list should keep a link that opens an account.
    mail.extra_headers = {"Auto-Submitted": "auto-generated"}
    mail.send()


def link(page: str, token: str) -> str:
    """Where a mail leads. The host is the settings', never a request's; what opens the account stands after
    the ``#``, which browsers send to nobody and no server logs."""
    return f"{settings.ACCOUNT_URL.rstrip('/')}/{page}/#{token}"
