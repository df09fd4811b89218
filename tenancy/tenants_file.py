"""tenants.yaml: which tenants there are, and where each keeps its data.

``read()`` accepts the whole file or none of it, and says everything that is wrong at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tenancy import database_url, document
from tenancy.address import Address
from tenancy.document import Node, Scalar, Sequence
from tenancy.exceptions import DatabaseURLError, Problem, TenantsFileError
from tenancy.tenant import RESERVED_IDS, TENANT_ID, Status, Tenant

VERSION = "1"

#: Bytes; ``TENANCY_MAX_FILE_BYTES`` changes it.
MAX_FILE_BYTES = 4 * 1024 * 1024

_TOP_KEYS = ("version", "tenants")
_URL_KEYS = ("url", "direct_url", "replica_url")
_TENANT_KEYS = ("name", "status", "labels", "hosts", *_URL_KEYS, *(f"{key}_env" for key in _URL_KEYS))
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z)({_HOST_LABEL}\.)*{_HOST_LABEL}")


def read(
    file: Path,
    *,
    control: Mapping[str, Any] | None,
    production: bool,
    environ: Mapping[str, str],
    max_bytes: int = MAX_FILE_BYTES,
) -> tuple[dict[str, Tenant], bytes]:
    """The tenants in ``file`` by id, and the bytes they were read from.

    ``control`` is the settings of the control plane's database, which no tenant may share.
    ``production`` refuses passwords in plain text. Raises ``TenantsFileError``.
    """
    data = read_bytes(file, max_bytes)
    tenants = parse(
        data,
        name=file.name,
        folder=file.resolve().parent,
        control=control,
        production=production,
        environ=environ,
    )
    return tenants, data


def read_bytes(file: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """What is in the file. Raises ``TenantsFileError`` when there is none, or too much in it."""
    name = file.name
    try:
        if not file.is_file():
            raise FileNotFoundError
        with file.open("rb") as stream:
            data = stream.read(max_bytes + 1)
    except FileNotFoundError:
        raise TenantsFileError(
            name, [Problem(1, "", f"no such file: {file}; create it, or set TENANTS_FILE")]
        ) from None
    except OSError as exc:
        raise TenantsFileError(name, [Problem(1, "", f"cannot be read: {exc.strerror}")]) from None
    if len(data) > max_bytes:
        raise TenantsFileError(
            name, [Problem(1, "", f"over {max_bytes} bytes; raise TENANCY_MAX_FILE_BYTES if that is meant")]
        )
    return data


def parse(
    data: bytes,
    *,
    name: str,
    folder: Path,
    control: Mapping[str, Any] | None,
    production: bool,
    environ: Mapping[str, str],
) -> dict[str, Tenant]:
    """The tenants in ``data``, which was read from the file ``name`` in ``folder``. Every URL is tried, and
    none is kept: a tenant works out its own again when it is asked. Raises ``TenantsFileError``."""
    reader = _Reader(folder, production, environ)
    try:
        tenants = reader.tenants(document.parse(data))
    except document.DocumentError as exc:
        raise TenantsFileError(name, [exc.problem]) from None
    reader.refuse_shared_databases(control)
    if reader.problems:
        raise TenantsFileError(name, sorted(reader.problems, key=lambda problem: problem.line))
    return tenants


@dataclass(frozen=True, slots=True)
class _Place:
    """What one URL reaches, and where it stands."""

    line: int
    path: str
    identity: tuple[str, ...]
    database: tuple[str, ...]  # the same without the schema


class _Reader:
    """Walks the document once and collects what is wrong with it."""

    def __init__(self, folder: Path, production: bool, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.production = production
        self.environ = environ
        self.problems: list[Problem] = []
        self.places: dict[str, list[_Place]] = {}  # by tenant id
        self.host_places: dict[str, tuple[int, str]] = {}  # line and key path

    def refuse(self, line: int, path: str, text: str) -> None:
        self.problems.append(Problem(line, path, text))

    def tenants(self, root: Node) -> dict[str, Tenant]:
        if not isinstance(root, document.Mapping):
            self.refuse(root.line, "", f"{document.describe(root)} where a map with `version` is needed")
            return {}
        self.unknown_keys(root, "", _TOP_KEYS)
        version = root.entries.get("version")
        if version is None:
            self.refuse(root.line, "version", "missing; add `version: 1` as the first line")
        elif not (
            isinstance(version[1], Scalar) and version[1].value == VERSION and version[1].kind == "a number"
        ):
            self.refuse(version[0].line, "version", "this release reads version 1; write `version: 1`")
        if "tenants" not in root.entries:
            self.refuse(root.line, "tenants", "missing; add `tenants:` with one entry per tenant")
            return {}
        key, node = root.entries["tenants"]
        if not isinstance(node, document.Mapping):
            self.refuse(key.line, "tenants", f"{document.describe(node)} where a map of tenants is needed")
            return {}
        found = (self.tenant(key, node) for key, node in node.entries.values())
        return {tenant.id: tenant for tenant in found if tenant is not None}

    def unknown_keys(self, node: document.Mapping, path: str, known: Iterable[str]) -> None:
        for name, (key, _) in node.entries.items():
            if name not in known:
                close = difflib.get_close_matches(name, list(known), n=1)
                guess = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
                self.refuse(key.line, document.key_path(path, name), f"unknown key; {guess}")

    def tenant(self, key: Scalar, node: Node) -> Tenant | None:
        path = document.key_path("tenants", key.value)
        before = len(self.problems)
        if not TENANT_ID.fullmatch(key.value):
            self.refuse(
                key.line,
                path,
                "an id has 2 to 40 characters, starts with a letter a-z and goes on with a-z, 0-9 and '-'",
            )
            return None
        if key.value in RESERVED_IDS:
            self.refuse(key.line, path, "this id is reserved; choose another")
            return None
        if not isinstance(node, document.Mapping):
            self.refuse(key.line, path, f"{document.describe(node)} where `name` and `url` are needed")
            return None
        self.unknown_keys(node, path, _TENANT_KEYS)
        name = self.text(node, path, "name", required=True)
        if len(name) > 200:
            self.refuse(node.line_of("name"), f"{path}.name", "over 200 characters; shorten it")
        status = self.text(node, path, "status") or Status.ACTIVE
        if status not in list(Status):
            self.refuse(
                node.line_of("status"), f"{path}.status", f"unknown status; use one of {', '.join(Status)}"
            )
        places: list[_Place] = []
        addresses = {kind: self.address(node, path, kind, places) for kind in _URL_KEYS}
        labels, hosts = self.labels(node, path), self.hosts(node, path)
        if len(self.problems) > before:
            return None
        self.places[key.value] = places
        return Tenant(
            id=key.value,
            name=name,
            status=Status(status),
            labels=labels,
            hosts=hosts,
            database=addresses["url"],
            direct=addresses["direct_url"],
            replica=addresses["replica_url"],
        )

    def text(self, node: document.Mapping, path: str, name: str, required: bool = False) -> str:
        if name not in node.entries:
            if required:
                self.refuse(node.line, f"{path}.{name}", f"missing; add `{name}:`")
            return ""
        return self.as_text(node.entries[name][1], f"{path}.{name}")

    def as_text(self, value: Node, path: str) -> str:
        if not isinstance(value, Scalar) or value.kind != "text":
            self.refuse(
                value.line, path, f"{document.describe(value)} where text is needed; put it in quotes"
            )
            return ""
        if not value.value.strip():
            self.refuse(value.line, path, "empty; give it a value or remove the key")
        return value.value

    def labels(self, node: document.Mapping, path: str) -> Mapping[str, str]:
        if "labels" not in node.entries:
            return MappingProxyType({})
        key, labels = node.entries["labels"]
        if not isinstance(labels, document.Mapping):
            self.refuse(key.line, f"{path}.labels", "labels are a map, text to text: {plan: gold}")
            return MappingProxyType({})
        return MappingProxyType(
            {
                name: self.as_text(value, document.key_path(f"{path}.labels", name))
                for name, (_, value) in labels.entries.items()
            }
        )

    def hosts(self, node: document.Mapping, path: str) -> tuple[str, ...]:
        if "hosts" not in node.entries:
            return ()
        key, hosts = node.entries["hosts"]
        if not isinstance(hosts, Sequence):
            self.refuse(key.line, f"{path}.hosts", "hosts are a list of host names")
            return ()
        names = []
        for number, item in enumerate(hosts.items):
            place = f"{path}.hosts[{number}]"
            name = self.as_text(item, place)
            if not name:
                continue  # told already
            if not _HOST_NAME.fullmatch(name):
                self.refuse(item.line, place, "not a host name in lower case")
            elif name in self.host_places:
                line, owner = self.host_places[name]
                self.refuse(item.line, place, f"this host name is already used in line {line} ({owner})")
            else:
                self.host_places[name] = (item.line, place)
            names.append(name)
        return tuple(names)

    def address(self, node: document.Mapping, path: str, kind: str, places: list[_Place]) -> Address | None:
        from_environment = f"{kind}_env"
        if kind in node.entries and from_environment in node.entries:
            line = node.line_of(from_environment)
            self.refuse(line, f"{path}.{from_environment}", f"stands beside '{kind}'; keep one of them")
            return None
        if from_environment in node.entries:
            name = self.text(node, path, from_environment)
            line = node.line_of(from_environment)
            if name and not _ENVIRONMENT_NAME.fullmatch(name):
                self.refuse(line, f"{path}.{from_environment}", "not the name of an environment variable")
                return None
            return self.tried(name, line, f"{path}.{from_environment}", places, from_environment=True)
        if kind not in node.entries:
            if kind == "url":
                self.refuse(node.line, f"{path}.url", "missing; add `url:` or `url_env:`")
            return None
        return self.tried(
            self.text(node, path, kind), node.line_of(kind), f"{path}.{kind}", places, from_environment=False
        )

    def tried(
        self, text: str, line: int, path: str, places: list[_Place], *, from_environment: bool
    ) -> Address | None:
        if not text:
            return None  # told already
        address = Address(text, from_environment, self.folder, self.environ)
        try:
            settings = address.resolve(production=self.production)
        except DatabaseURLError as exc:
            self.refuse(line, path, str(exc))
            return None
        identity = database_url.identity(settings)
        database = database_url.identity({**settings, "SCHEMA": None})
        places.append(_Place(line, path, identity, database))
        return address

    def refuse_shared_databases(self, control: Mapping[str, Any] | None) -> None:
        """No two tenants, and no tenant and the control plane, reach the same tables."""
        taken = database_url.identity({**control, "SCHEMA": None}) if control else None
        owners: dict[tuple[str, ...], str] = {}
        for tenant_id, places in self.places.items():
            for place in places:
                owner = owners.setdefault(place.identity, tenant_id)
                if place.database == taken:
                    owner = "the control plane"
                elif owner == tenant_id:
                    continue
                else:
                    owner = f"tenant '{owner}'"
                text = f"the same database as {owner}; each needs its own"
                self.refuse(place.line, place.path, text)
