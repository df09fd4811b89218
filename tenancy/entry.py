"""A new entry in tenants.yaml: added to the text, of which everything else stays as somebody wrote it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

import yaml

from tenancy import tenants_file
from tenancy.address import Address
from tenancy.database_url import identity
from tenancy.exceptions import DatabaseURLError, Problem, TenancyError, TenantsFileError
from tenancy.tenant import Tenant

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class EntryRefused(TenancyError, ValueError):
    """The entry is not added; the file is as it was."""


@dataclass(frozen=True)
class Entry:
    """What is to be written. ``url`` as it stands in the file: with placeholders."""

    id: str
    name: str
    url: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_yaml(self, indent: int, newline: str) -> str:
        """One line for each fact, however long: a URL that is folded would be another."""
        lines = [f"{self.id}:", f"  {_pair('name', self.name)}", f"  {_pair('url', self.url)}"]
        if self.labels:
            lines.append(f"  labels: {_dump(dict(self.labels), in_braces=True)}")
        return "".join(f"{' ' * indent}{line}{newline}" for line in lines)


def _pair(key: str, value: str) -> str:
    return _dump({key: value}, in_braces=False)


def _dump(facts: dict[str, str], *, in_braces: bool) -> str:
    """In quotes what needs some."""
    written: str = yaml.safe_dump(
        facts, allow_unicode=True, width=float("inf"), default_flow_style=in_braces, sort_keys=False
    )
    return written.strip()


def add(
    file: Path,
    entry: Entry,
    *,
    control: Mapping[str, Any] | None,
    production: bool,
    environ: Mapping[str, str] = os.environ,
    max_bytes: int = tenants_file.MAX_FILE_BYTES,
) -> bool:
    """Add the entry to the file, under its lock. Returns False where the same one is there already.

    Nothing is written unless the whole file is valid with it. Raises ``EntryRefused`` where the id is taken
    by another entry or there is no place for one, ``TenantsFileError`` for what the new file would be
    refused for, ``OSError`` where it cannot be written.
    """
    path = file.resolve()  # through links, as Kubernetes and release folders have them
    with _locked(path):
        data = tenants_file.read_bytes(path, max_bytes)
        terms: dict[str, Any] = {
            "name": file.name,
            "folder": path.parent,
            "control": control,
            "production": production,
            "environ": environ,
        }
        before = tenants_file.parse(data, **terms)
        text = data.decode()
        if entry.id in before:
            if _is_same(before[entry.id], entry, path.parent, environ):
                return False
            raise EntryRefused(
                f"Tenant '{entry.id}' has an entry already, which says something else; "
                f"`manage.py tenants provision {entry.id}` works on that."
            )
        changed = _with(text, entry, file.name).encode()
        if len(changed) > max_bytes:
            raise EntryRefused(f"{file.name} would be over {max_bytes} bytes; raise TENANCY_MAX_FILE_BYTES.")
        after = tenants_file.parse(changed, **terms)
        if after.keys() != before.keys() | {entry.id}:
            raise EntryRefused(f"{file.name} has no place where an entry can be added; write it by hand.")
        _replace(path, changed)
    return True


def _is_same(tenant: Tenant, entry: Entry, folder: Path, environ: Mapping[str, str]) -> bool:
    try:
        wanted = Address(entry.url, from_environment=False, folder=folder, environ=environ).resolve()
    except DatabaseURLError:
        return False
    return tenant.name == entry.name and identity(tenant.database) == identity(wanted)


def _with(text: str, entry: Entry, name: str) -> str:
    """The text with the entry after the last one; or in the place of an empty map."""
    newline = "\r\n" if "\r\n" in text else "\n"
    place = _find(text, name)
    if place.is_empty:
        block = newline + entry.as_yaml(2, newline).rstrip()
        return text[: place.start].rstrip(" ") + block + text[place.end :]
    # Of a text over several lines the end is where the next line begins.
    end = place.end if text[place.end - 1] == "\n" else text.find("\n", place.end) + 1 or len(text)
    return text[:end] + entry.as_yaml(place.indent, newline) + text[end:]


@dataclass(frozen=True)
class _Place:
    start: int
    end: int
    indent: int
    is_empty: bool


def _find(text: str, name: str) -> _Place:
    """Where the entries stand: from the first one to the last character of the last one."""
    depth, is_key, found = 0, False, False
    start = end = indent = 0
    events: Any = yaml.parse(text, Loader=_Loader)
    for event in events:
        begins = isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent)
        ends = isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent)
        depth -= ends
        if found and depth == 1 and ends:
            return _Place(start, end, indent, is_empty=False)
        if found and depth == 1 and begins:
            if event.flow_style:
                return _braces(text, event.start_mark.index, name)
            start, indent = event.start_mark.index, event.start_mark.column
        elif depth == 1 and isinstance(event, yaml.ScalarEvent):
            is_key = not is_key
            found = is_key and event.value == "tenants"
        elif depth == 1 and ends:
            is_key = False
        if isinstance(event, yaml.ScalarEvent) or (ends and text[event.end_mark.index - 1] in "}]"):
            # Of a block the end is where the next thing begins, past all comments.
            end = event.end_mark.index
        depth += begins
    raise EntryRefused(f"{name} has no `tenants:`; add it.")


def _braces(text: str, start: int, name: str) -> _Place:
    end = text.find("}", start) + 1
    if text[start:end].strip("{} \t\r\n"):
        raise EntryRefused(
            f"In {name} the tenants stand in braces; write them as a block, one below the other."
        )
    return _Place(start, end, 2, is_empty=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time change the file, which is replaced: the lock may be its predecessor's."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            text = f"cannot be opened: {exc.strerror}; create it with `version: 1` and `tenants: {{}}`"
            raise TenantsFileError(path.name, [Problem(1, "", text)]) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                yield
                return
        finally:
            os.close(descriptor)


def _replace(path: Path, data: bytes) -> None:
    """Whole or not at all, with the mode and the owner that it had."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}")
    facts = path.stat()
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            shutil.copymode(path, draft)
            if (facts.st_uid, facts.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(draft, facts.st_uid, facts.st_gid)
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
