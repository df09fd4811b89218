"""A strict reading of one YAML document: plain maps, lists and scalars, each with its line.

YAML's conveniences are ways for two tenants to share a database unseen (anchors, merge keys, duplicate
keys of which the last one wins) or to run code (tags), so none is accepted. The reader works on
libyaml's events: PyYAML's constructors drop lines and anchors, and forgive duplicate keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from tenancy.exceptions import Problem

#: Contract: nesting deeper than this is refused.
MAX_DEPTH = 20

# C0 and C1 controls but tab and newlines, lone surrogates, non-characters, and what reorders or hides text
# on a screen.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069"
    "\ufeff\ufffe\uffff\ud800-\udfff]|\r(?!\n)"
)
_BREAK = re.compile("[\t\r\n]")
_CONFLICT_MARKER = re.compile(r"^(<{7}|={7}|>{7}|\|{7})(?=[ \r\n]|\Z)", re.MULTILINE)
# No ':' and no '@': a URL that slipped into the place of a key is not repeated.
_SHOWN_KEY = re.compile(r"[\w ./-]{1,60}")

#: libyaml's words for mistakes that people make often.
_PLAINER = {
    "found character that cannot start any token": "a tab, perhaps, or a character that needs quotes; "
    "indent with spaces",
    "mapping values are not allowed in this context": "a ':' where none can be; put a text that has ': ' in "
    "it in quotes, and indent keys that belong together alike",
    "did not find expected key": "a line that is indented unlike those before it; indent keys that belong "
    "together alike",
    "did not find expected '-' indicator": "a line in a list that does not start with '-'",
    "did not find expected ',' or '}'": "a ',' or a '}' is missing before it",
    "did not find expected ',' or ']'": "a ',' or a ']' is missing before it",
}

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_resolver: Any = yaml.resolver.Resolver()
_KINDS = {"str": "text", "int": "a number", "float": "a number", "bool": "true or false"} | {
    "null": "nothing",
    "timestamp": "a date",
    "merge": "a merge key",
    "value": "a value key",
}


class DocumentError(Exception):
    """The text is not a document we accept; carries the one ``Problem``."""

    def __init__(self, line: int, path: str, text: str) -> None:
        self.problem = Problem(line, path, text)
        super().__init__(text)


@dataclass(slots=True)
class Scalar:
    """One value as written; ``kind`` says what YAML 1.1 takes it for."""

    value: str
    line: int
    kind: str


@dataclass(slots=True)
class Mapping:
    """A map in the file's order; keys are text and unique."""

    line: int
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)

    def line_of(self, key: str) -> int:
        return self.entries[key][0].line if key in self.entries else self.line


@dataclass(slots=True)
class Sequence:
    line: int
    items: list[Node] = field(default_factory=list)


Node = Scalar | Mapping | Sequence


def describe(node: Node) -> str:
    """What a node is, in words for an error message."""
    if isinstance(node, Mapping):
        return "a map"
    return "a list" if isinstance(node, Sequence) else node.kind


def key_path(path: str, key: str) -> str:
    """``path`` and one more key, for an error message: one line, never long, never a secret."""
    shown = key if _SHOWN_KEY.fullmatch(key) else "…"
    return f"{path}.{shown}" if path else shown


def parse(data: bytes) -> Node:
    """The document in ``data``. Raises ``DocumentError`` with line, key path and what to do."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise DocumentError(line, "", "not UTF-8; save the file as UTF-8") from None
    if match := _CONTROL.search(text):
        raise DocumentError(_line_at(text, match.start()), "", _control(match[0]))
    if match := _CONFLICT_MARKER.search(text):
        raise DocumentError(_line_at(text, match.start()), "", "git conflict marker; resolve the merge first")
    reader = _Reader(text)
    try:
        return reader.document()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        problem = exc.problem or exc.context or ""
        text = f"not valid YAML: {_PLAINER.get(problem, problem)}"
        raise DocumentError(line, reader.path, text) from None
    except yaml.YAMLError:
        raise DocumentError(1, "", "not valid YAML") from None


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _control(character: str) -> str:
    return f"control character U+{ord(character):04X}; remove it"


class _Reader:
    def __init__(self, text: str) -> None:
        # Where a value would end that is cut off: a half-written URL names another database.
        written = text.rstrip(" \t")
        self.cut = len(text) + 1 if written.endswith("\n") else len(written)
        self.text = text
        self.events: Any = None
        #: The map or list that is being read.
        self.path = ""

    def document(self) -> Node:
        self.events = yaml.parse(self.text, Loader=_Loader)
        self._next()  # the start of the stream
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise DocumentError(1, "", "empty; start with `version: 1` and `tenants:`")
        node = self._node(self._next(), path="", depth=1)
        self._next()  # the end of the document
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise DocumentError(
                event.start_mark.line + 1, "", "more than one document; keep one, without `---`"
            )
        return node

    def _next(self) -> Any:
        return next(self.events)

    def _next_in(self, path: str) -> Any:
        self.path = path
        return self._next()

    def _node(self, event: Any, path: str, depth: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise DocumentError(line, path, "an alias ('*…'); write the value out")
        if event.anchor is not None:
            raise DocumentError(line, path, "an anchor ('&…'); write each value out")
        if event.tag is not None:
            raise DocumentError(line, path, "a tag ('!…'); remove it")
        if depth > MAX_DEPTH:
            raise DocumentError(line, path, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(line, path, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(line, path, depth)
        return self._scalar(event, line, path)

    def _scalar(self, event: Any, line: int, path: str) -> Scalar:
        # Escapes in double quotes can spell what the file itself may not hold.
        if match := _CONTROL.search(event.value):
            raise DocumentError(line, path, _control(match[0]))
        if _BREAK.search(event.value):
            raise DocumentError(line, path, "a tab or a line break in the text; write it on one line")
        if event.style not in ("'", '"') and event.end_mark.index >= self.cut:  # a quote shows its own end
            raise DocumentError(
                line, path, "the file ends within this line; complete it, and end it with a line break"
            )
        kind = "text"
        if not event.style:  # plain: neither quoted nor a block
            tag = _resolver.resolve(yaml.ScalarNode, event.value, (True, False))
            kind = _KINDS.get(tag.rpartition(":")[2], "not text")
        return Scalar(event.value, line, kind)

    def _sequence(self, line: int, path: str, depth: int) -> Sequence:
        node = Sequence(line)
        while not isinstance(event := self._next_in(path), yaml.SequenceEndEvent):
            node.items.append(self._node(event, f"{path}[{len(node.items)}]", depth + 1))
        return node

    def _mapping(self, line: int, path: str, depth: int) -> Mapping:
        node = Mapping(line)
        while not isinstance(event := self._next_in(path), yaml.MappingEndEvent):
            key = self._node(event, path, depth + 1)
            if not isinstance(key, Scalar):
                raise DocumentError(key.line, path, f"a key that is {describe(key)}; keys are text")
            if key.kind == "a merge key":
                raise DocumentError(key.line, path, "merge key '<<'; write each value out")
            if key.kind != "text":
                raise DocumentError(
                    key.line,
                    path,
                    f"key '{key.value}' is read as {key.kind}, not as text; choose another, or quote it",
                )
            child = key_path(path, key.value)
            if key.value in node.entries:
                first = node.entries[key.value][0].line
                raise DocumentError(
                    key.line, child, f"duplicate key (the first is in line {first}); remove one"
                )
            node.entries[key.value] = (key, self._node(self._next(), child, depth + 1))
        return node
