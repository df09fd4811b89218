"""JSON as we accept it: of bounded size, in UTF-8, with each name once and only finite numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from django.conf import settings
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
        data = stream.read(limit + 1)
        if len(data) > limit:
            raise PayloadTooLarge(f"The body is larger than {limit} bytes.")
        try:
            return json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        except UnicodeDecodeError:
            raise ParseError("The body is not UTF-8.") from None
        except json.JSONDecodeError as exc:
            raise ParseError(
                f"The body is not valid JSON (line {exc.lineno}, column {exc.colno})."
            ) from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError:
            # Python refuses to read integers of more than 4,300 digits.
            raise ParseError("The body holds a number that is too large.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ParseError("The body has a name twice in one object.")
    return names


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not a number in JSON.")
