"""JSON as we accept it: of bounded size, in UTF-8, with each name once and only finite numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from django.conf import settings
from django.http import UnreadablePostError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from tenancy.rest.errors import PayloadTooLarge


class StrictJSONParser(BaseParser):
    """Reads at most ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes. DRF's own parser has no limit."""

    media_type = "application/json"
    renderer_class = JSONRenderer

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            data = stream.read(limit + 1)
        except UnreadablePostError:
            raise ParseError("The body broke off.") from None  # the client left; nobody will read this
        if len(data) > limit:
            raise PayloadTooLarge(f"The body is larger than {limit} bytes.")
        try:
            return _load(data.decode("utf-8"))
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except UnicodeEncodeError:
            raise ParseError("The body holds half of a surrogate pair.") from None
        except json.JSONDecodeError as exc:
            raise ParseError(f"The body is not valid JSON (line {exc.lineno}, column {exc.colno}).") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError:
            # Ours, of a float; or Python's, which refuses to read integers of more than 4,300 digits.
            raise ParseError("The body holds a number that is too large.") from None


def _load(text: str) -> Any:
    value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
    if "\\u" in text:
        # An escape can stand for half a character, which no database takes and no error can quote.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ParseError("The body has a name twice in one object.")
    return names


def _finite(digits: str) -> float:
    """JSON knows no infinity, but Python reads 1e400 as one."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(digits)
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not a number in JSON.")
