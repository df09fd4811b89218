"""The compiled registry: what a tenants.yaml was found to say, in a form that is read in no time.

A sealed file of lines: the environment variables it depends on, the problems of a file that was refused, the
tenants' ids, and one line of JSON per tenant, which is read when somebody asks for that tenant. URLs stand in
it as in tenants.yaml, with their placeholders.

It is believed only with a seal that fits: an HMAC over the content of tenants.yaml, over everything else that
decides what it means (``Terms``, our own code, the values of the environment), and over the lines.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tenancy import address, database_url, document, exceptions, tenant, tenants_file
from tenancy.address import Address
from tenancy.exceptions import Problem, TenantsFileError
from tenancy.tenant import Status, Tenant

_MAGIC = b"freehold registry 2"
#: What validates and what writes. Changed code believes nothing that was compiled before.
_MODULES = (address, database_url, document, exceptions, tenant, tenants_file)
_PACKAGES = ("PyYAML", "dj-database-url")
_CONTROL_FACTS = ("ENGINE", "HOST", "PORT", "NAME")


@dataclass(frozen=True)
class Terms:
    """What decides, beside its content and the environment, what a tenants.yaml means.

    ``control`` is the settings of the control plane's database; ``secret`` is the key of the seal.
    """

    name: str
    production: bool
    control: Mapping[str, Any] | None = field(repr=False)
    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        facts = self.control and {name: str(self.control.get(name) or "") for name in _CONTROL_FACTS}
        object.__setattr__(self, "control", facts)  # no secret of it is needed, or handed on

    def digest(self, content: bytes, folder: Path) -> bytes:
        """Of these terms, our code and the content of a file in ``folder``."""
        control = database_url.identity({**self.control, "SCHEMA": None}) if self.control else None
        facts = [self.name, str(folder), self.production, control, code_version()]
        return hashlib.sha256(json.dumps(facts).encode() + hashlib.sha256(content).digest()).digest()


@functools.cache
def code_version() -> str:
    """A hash of all code that reads tenants.yaml."""
    parts = [platform.python_version(), *(version(name) for name in _PACKAGES)]
    files = [Path(__file__), *(Path(str(module.__file__)) for module in _MODULES)]
    parts += [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Compiled:
    """What was in a sealed file: a line for each tenant by id, or the problems of one that was refused."""

    lines: dict[str, bytes] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    #: Whose a host name is.
    hosts: Mapping[str, str] = field(default_factory=dict, repr=False)


def seal(content: bytes, folder: Path, terms: Terms, environ: Mapping[str, str]) -> bytes:
    """Read ``content`` as a tenants.yaml in ``folder``, as strictly as ever, and seal what came of it."""
    noted = _Noted(environ)
    problems: list[list[Any]] = []
    tenants: dict[str, Tenant] = {}
    try:
        tenants = tenants_file.parse(
            content,
            name=terms.name,
            folder=folder,
            control=terms.control,
            production=terms.production,
            environ=noted,
        )
    except TenantsFileError as exc:
        problems = [[problem.line, problem.path, problem.text] for problem in exc.problems]
    hosts = {host: tenant.id for tenant in tenants.values() for host in tenant.hosts}
    facts = {"environment": sorted(noted.names), "problems": problems, "hosts": hosts}
    header = json.dumps(facts).encode()
    lines = [header, " ".join(tenants).encode(), *(_line(tenant) for tenant in tenants.values())]
    body = b"\n".join(lines)
    mac = _mac(body, sorted(noted.names), terms.digest(content, folder), terms, environ)
    return b"\n".join((_MAGIC, mac.encode(), body))


def unseal(sealed: bytes, digest: bytes, terms: Terms, environ: Mapping[str, str]) -> Compiled | None:
    """What is in it; None when the seal does not fit: damaged, of another file, code, key or environment.

    ``digest`` is the terms' own, of the content that is asked for.
    """
    magic, _, rest = sealed.partition(b"\n")
    mac, _, body = rest.partition(b"\n")
    if magic != _MAGIC:
        return None
    header, *lines = body.split(b"\n")
    try:
        facts = json.loads(header)
        names = facts["environment"]
        right = _mac(body, names, digest, terms, environ).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # damaged before the seal could be looked at
    if not hmac.compare_digest(mac, right):
        return None
    ids = lines[0].decode().split()
    problems = tuple(Problem(*problem) for problem in facts["problems"])
    return Compiled(dict(zip(ids, lines[1:], strict=True)), problems, facts["hosts"])


class _Noted(Mapping[str, str]):
    """An environment that remembers which of its variables were asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        return self.environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.environ)

    def __len__(self) -> int:
        return len(self.environ)


def _mac(body: bytes, names: list[str], digest: bytes, terms: Terms, environ: Mapping[str, str]) -> str:
    # The body is hashed first: that lets other threads run, which an HMAC of it would not.
    values = json.dumps([[name, environ.get(name)] for name in names])
    message = digest + hashlib.sha256(body).digest() + values.encode()
    return hmac.digest(terms.secret.encode(), message, "sha256").hex()


def _line(tenant: Tenant) -> bytes:
    addresses = [tenant.__dict__[f"_{kind}"] for kind in ("database", "direct", "replica")]
    written = [address and _written(address) for address in addresses]
    facts = [tenant.id, tenant.name, tenant.status, dict(tenant.labels), tenant.hosts, *written]
    return json.dumps(facts, separators=(",", ":")).encode()


def _written(address: Address) -> list[Any]:
    # With the folder only where it matters: elsewhere an entry stays the same when the file is in another.
    folder = str(address.folder) if address.is_in_folder() else ""
    return [address.text, address.from_environment, folder]


def read_line(line: bytes, environ: Mapping[str, str]) -> Tenant:
    """The tenant of one line of a compiled registry."""
    tenant_id, name, status, labels, hosts, *written = json.loads(line)
    database, direct, replica = (one and Address(one[0], one[1], Path(one[2]), environ) for one in written)
    return Tenant(
        id=tenant_id,
        name=name,
        status=Status(status),
        labels=MappingProxyType(labels),
        hosts=tuple(hosts),
        database=database,
        direct=direct,
        replica=replica,
    )


class Entries(Mapping[str, Tenant]):
    """The tenants of one compiled registry by id, each read when it is first asked for.

    ``known`` is shared by all registries that follow each other in a process: an entry whose line is the same
    is the same ``Tenant`` object, and the settings that its connections were made from stay theirs.
    """

    def __init__(
        self,
        lines: Mapping[str, bytes],
        *,
        environ: Mapping[str, str],
        known: dict[bytes, Tenant],
    ) -> None:
        self.lines = lines
        self._environ = environ
        self._known = known

    def __getitem__(self, tenant_id: str) -> Tenant:
        line = self.lines[tenant_id]
        tenant = self._known.get(line)
        if tenant is None:
            # Of two threads that read it at once the first decides.
            tenant = self._known.setdefault(line, read_line(line, self._environ))
        return tenant

    def __contains__(self, tenant_id: object) -> bool:
        return tenant_id in self.lines

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)
