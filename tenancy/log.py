"""The log: every record says for which tenant, for whom and in which request it was made.

Who is in context is noted when a record is *made*, by the record factory, for it may be written in another
thread or much later (a queue, a buffer). ``TenantFilter`` shows it. The filter belongs on handlers: a filter
of a logger is asked for what is logged on that very logger, never for what comes up from those below it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from tenancy.context import current_request_id, current_tenant, current_user_id

#: What stands where there is no tenant, no user or no request.
NOTHING = "-"

_FIELDS = ("tenant", "user", "request_id")

# Of a record. A name of ours: one that is in use (tenant, user) would make ``extra`` raise in libraries.
_NOTE = "_tenancy"

#: The same, of a request.
REQUEST_NOTE = "_tenancy_note"


def _in_context() -> tuple[str, str, str]:
    tenant = current_tenant()
    return (
        NOTHING if tenant is None else tenant.id,
        current_user_id() or NOTHING,
        current_request_id() or NOTHING,
    )


def note_on(request: object) -> None:
    """Leave on a request who is in context, for what is logged of it after its scope is over."""
    setattr(request, REQUEST_NOTE, _in_context())


class _NotingFactory:
    """The factory before it, and a note of who was in context."""

    def __init__(self, factory: Callable[..., logging.LogRecord]) -> None:
        self.factory = factory

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.factory(*args, **kwargs)
        setattr(record, _NOTE, _in_context())
        return record


class TenantFilter(logging.Filter):
    """Puts ``tenant``, ``user`` and ``request_id`` on every record, ``-`` where there is none.

    Lets everything pass and raises nothing. What a record's ``extra`` says under these names is replaced.
    Making one also makes records note who is in context; one from before is taken to be of here and now.
    """

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        factory = logging.getLogRecordFactory()
        if not isinstance(factory, _NotingFactory):
            logging.setLogRecordFactory(_NotingFactory(factory))

    def filter(self, record: logging.LogRecord) -> bool:
        note = getattr(record, _NOTE, None) or _in_context()
        if note == (NOTHING, NOTHING, NOTHING):
            # Django writes of an answer when all middleware is done (django/core/handlers/base.py,
            # get_response), and gives the request along.
            left = getattr(getattr(record, "request", None), REQUEST_NOTE, None)
            note = left if isinstance(left, tuple) else note
        setattr(record, _NOTE, note)
        record.__dict__.update(zip(_FIELDS, note, strict=True))
        return True


class LineFormatter(logging.Formatter):
    """For people: one line a record, ``time level logger [tenant user request] message``.

    A message cannot look like another record: control characters and line breaks in it are shown as
    escapes, and what follows (a traceback) is indented, line by line. Passwords are left out.
    """

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s [%(tenant)s %(user)s %(request_id)s] %(message)s",
            defaults=dict.fromkeys(_FIELDS, NOTHING),
        )

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record)
        lines = [self.formatMessage(record)]
        for text in (_exception(self, record), record.stack_info):
            # Only at "\n": other breaks may be part of an exception's message.
            lines += [f"  {line}" for line in (text or "").split("\n") if line]
        return "\n".join(without_secrets(line).translate(_ESCAPES) for line in lines)


class JSONFormatter(JsonFormatter):
    """For machines: one JSON object a line, with ``timestamp`` (ISO 8601, UTC), ``level``, ``logger``,
    ``message``, ``tenant``, ``user``, ``request_id`` and, where there is one, ``exception`` and ``stack``.

    These and no others. What ``extra`` or a message that is a dict holds could replace one of them, and
    Django's ``extra`` holds whole requests. Passwords are left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name, NOTHING) for name in _FIELDS},
            "exception": _exception(self, record),
            "stack": record.stack_info,
        }
        return self.serialize_log_record(
            {name: without_secrets(text) for name, text in fields.items() if text is not None}
        )


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    """The traceback, made anew: another formatter keeps its own version of it on the record."""
    if record.exc_info and record.exc_info[0] is not None:
        return logging.Formatter.formatException(formatter, record.exc_info)
    return record.exc_text


# Line breaks, as str.splitlines() knows them, and what a terminal obeys.
_ESCAPES = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}

_WORD = re.compile(r"\S+")
# As libpq, the repr() of settings, YAML and SQL write it: after a name, in quotes of some kind or up
# to the next space. What PostgreSQL puts between dollars is looked for so far only: one that nobody closes
# must not make this slow.
_PASSWORD = re.compile(
    r"""
    (passw(?:or)?d (?: \s*=\s* | ['"]?\s*:\s* | \s+(?=['"$]|E') ))
    (?: E?'(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | \$(\w*)\$.{0,1000}?\$\2\$ | [^\s,}]+ )
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# RFC 7519; RFC 9110, section 11.4. A shorter word is an English one.
_TOKEN = re.compile(
    r"\b(?:eyJ[\w-]+\.[\w-]+\.[\w-]*|(Bearer |Basic |Api-Key )[\w.~+/=-]{16,})", re.IGNORECASE
)


def without_secrets(text: str) -> str:
    """A text without the user and the password of URLs, passwords that are named so, and tokens.

    It hides too much rather than too little: in a word with ``://`` all up to its last ``@``. Words are
    searched one by one, so its time grows with the length of the text only.
    """
    if "://" in text and "@" in text:
        text = _WORD.sub(_without_userinfo, text)
    return _TOKEN.sub(r"\1***", _PASSWORD.sub(r"\1***", text))


def _without_userinfo(word: re.Match[str]) -> str:
    scheme, slashes, rest = word[0].partition("://")
    return f"{scheme}://***@{rest.rpartition('@')[2]}" if slashes and "@" in rest else word[0]
