"""The rows of many tenants, on disk beyond a few: written as tenants answer, read in the order of
tenants.yaml."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from types import TracebackType

from tenancy.exceptions import TenancyError
from tenancy.reports.report import Row

#: Bytes that are kept in memory.
IN_MEMORY = 8 * 1024 * 1024
#: Rows that are packed, and unpacked, at a time.
BLOCK = 1000


class SpoolFull(TenancyError):
    """The disk has no room for the rows."""


class Spool:
    """A file without a name, which nobody else can open and which goes with the process; it holds tenants'
    data. Pickled, which is safe for what only this process writes and reads."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # closed by close()
        self._places: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, tenant_id: object) -> bool:
        return tenant_id in self._places

    def put(self, tenant_id: str, rows: list[Row]) -> None:
        """All rows of one tenant, once."""
        if tenant_id in self._places:
            raise ValueError(f"The rows of '{tenant_id}' are here already.")
        try:
            place = self._file.seek(0, 2)
            for start in range(0, len(rows), BLOCK):
                pickle.dump(rows[start : start + BLOCK], self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as exc:
            folder = tempfile.gettempdir()
            raise SpoolFull(
                f"Rows cannot be kept in {folder}: {exc.strerror}. Make room there, or set TMPDIR to another."
            ) from exc
        self._places[tenant_id] = place, len(rows)

    def rows(self, tenant_id: str) -> Iterator[Row]:
        """In the order they were put in. Two may be read at a time."""
        place, left = self._places.get(tenant_id, (0, 0))
        while left > 0:
            self._file.seek(place)
            block: list[Row] = pickle.load(self._file)  # noqa: S301  # our own, see above
            place = self._file.tell()
            left -= len(block)
            yield from block

    def count(self, tenant_id: str) -> int:
        return self._places.get(tenant_id, (0, 0))[1]
