"""Mails, for a Celery worker. What opens an account is made there, and is never in a message."""

from __future__ import annotations

import smtplib

from celery import shared_task

from users import invitations, passwords

_TRIES = {
    "autoretry_for": (smtplib.SMTPException, OSError),
    "max_retries": 5,
    "retry_backoff": True,
    "ignore_result": True,
}


@shared_task(name="users.mail.reset", **_TRIES)  # type: ignore[untyped-decorator]
def reset_mail(email: str) -> None:
    passwords.send_reset_mail(email)


@shared_task(name="users.mail.changed", **_TRIES)  # type: ignore[untyped-decorator]
def changed_mail(user_id: str) -> None:
    passwords.send_changed_mail(user_id)


@shared_task(name="users.mail.invitation", **_TRIES)  # type: ignore[untyped-decorator]
def invitation_mail(invitation_id: str) -> None:
    invitations.send_invitation_mail(invitation_id)
