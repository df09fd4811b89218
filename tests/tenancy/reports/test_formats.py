"""How a result is written, in little memory, and in full or not at all."""

from __future__ import annotations

import contextlib
import csv
import datetime
import errno
import io
import json
import os
import re
import threading
import tracemalloc
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from django.core.management import CommandError, call_command
from pyarrow import parquet

from tenancy.fleet import Outcome, Result
from tenancy.management.verbs.reporting import written_at_once
from tenancy.reports import plots, spool
from tenancy.reports.answer import Answer
from tenancy.reports.collected import collecting
from tenancy.reports.columns import Column
from tenancy.reports.formats import BINARY, FORMATS, table, write
from tenancy.reports.formats import page as html
from tenancy.reports.merges import Distinct, Sum
from tenancy.reports.report import Report
from tenancy.reports.spool import BLOCK, Spool
from tenancy.reports.totals import Totals
from tenancy.tenant import Tenant
from tenancy.testing import only_tenants

REPORT = Report(
    "r",
    (Column("currency", key=True), Column("kind", key=True), Column("name"), Column("value", Decimal, Sum())),
    list,
)


def outcome(tenant_id, rows):
    totals = Totals(REPORT)
    totals.add(rows)
    return Outcome(Tenant(tenant_id, tenant_id), Result.OK, value=Answer(rows, totals))


def away(tenant_id, result=Result.FAILED, error="E"):
    return Outcome(Tenant(tenant_id, tenant_id), result, error=error)


def written(outcomes, name, **options):
    outcomes = list(outcomes)
    stream = io.StringIO()
    with collecting(REPORT, {}, outcomes, sorted(each.tenant.id for each in outcomes)) as found:
        write(found, stream, name, **options)
    return stream.getvalue()


TEXT = FORMATS.keys() - BINARY

ROW = ("EUR", "k", "n", Decimal("1.00"))


@pytest.mark.parametrize("name", sorted(TEXT))
def test_the_order_is_that_of_tenants_yaml_whoever_answers_first(name):
    rows = {tenant_id: [("EUR", tenant_id, "n", Decimal(1))] for tenant_id in ("aa", "bb", "cc")}
    outcomes = [outcome(tenant_id, each) for tenant_id, each in rows.items()]
    assert written(outcomes[::-1], name) == written(outcomes, name)


#: A part of ten thousand tenants with a thousand rows each.
MANY, ROWS = 40, 1000
#: MiB; rows that are kept need a multiple, see below.
MEMORY = 2.0


@pytest.mark.parametrize("name", sorted(TEXT - {"table"}))
def test_many_rows_need_little_memory(name, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "IN_MEMORY", 256 * 1024)
    written([outcome("aa", [ROW])], name)  # loads what is loaded once
    ids = [f"t{number:05d}" for number in range(MANY)]
    rows = (
        outcome(tenant_id, [("EUR", "k", f"name {tenant_id} {row}", Decimal(row)) for row in range(ROWS)])
        for tenant_id in ids
    )
    tracemalloc.start()
    try:
        with (
            (tmp_path / "out").open("w") as stream,
            collecting(REPORT, {}, rows, ids) as found,
        ):
            write(found, stream, name)
        most = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert most < MEMORY
    assert (tmp_path / "out").stat().st_size > 500_000


def test_rows_that_are_kept_would_show():
    """The negative control of the one above."""
    tracemalloc.start()
    try:
        kept = [("EUR", "k", f"name {row}", Decimal(row)) for row in range(MANY * ROWS)]
        most = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert most > MEMORY * 1.5
    assert len(kept) == MANY * ROWS


def test_what_a_spreadsheet_takes_for_a_formula_is_made_text():
    out = written([outcome("aa", [("=1+1", "+k", "@n", Decimal("-1.00"))])], "csv")
    assert list(csv.reader(io.StringIO(out)))[1] == ["aa", "'=1+1", "'+k", "'@n", "-1.00", "ok"]


def test_json_lines_end_with_the_coverage():
    out = written([outcome("aa", [ROW]), away("bb")], "jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0] == {"tenant": "aa", "row": {"currency": "EUR", "kind": "k", "name": "n", "value": "1.00"}}
    assert lines[1] == {
        "total": {"currency": "EUR", "kind": "k", "value": "1.00"},
        "answered": 1,
        "tenants": 2,
        "known": 2,
    }
    assert lines[2]["coverage"]["absent"] == [{"tenant": "bb", "result": "failed", "error": "E"}]
    assert len(lines) == 3


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_totals_only(name):
    out = written([outcome("aa", [ROW]), away("bb")], name, totals_only=True)
    assert '"n"' not in out
    assert '"failed"' in out
    assert '"aa"' not in out


def test_long_tables_are_fitted_in_parts(monkeypatch):
    monkeypatch.setattr(table, "TOGETHER", 2)
    out = written([outcome("aa", [ROW] * 5)], "table")
    assert out.count("tenant") == 3
    assert out.count("aa") == 5


class Page(HTMLParser):
    """Elements that are open, and what would be fetched or run."""

    EMPTY = {"meta", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag in {"script", "img", "link", "iframe"} or {"src", "href", "onload"} & {
            name for name, _ in attributes
        }:
            self.fetched.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_a_page_stands_alone_and_escapes_what_tenants_say():
    bad = "<script>alert(1)</script>"
    rows = [(bad, bad, bad, Decimal(1)), ("EUR", None, bad, Decimal(2))]
    out = written([outcome("aa", rows), away("bb", error=bad)], "html")
    page = Page(out)
    assert page.fetched == []
    assert bad not in out
    assert "1 of 2 tenants answered" in page.text
    assert page.text.count(bad) >= 4


def test_a_page_has_plots_by_tenant_by_group_and_of_the_spread():
    outcomes = [
        outcome(f"t{number}", [("EUR", kind, "n", Decimal(10**number)) for kind in "ab"])
        for number in range(6)
    ]
    page = Page(written(outcomes, "html"))
    for caption in (
        "Tenants by how their turn went",
        "value, currency EUR: by kind",
        "value, currency EUR: by tenant",
        "value, currency EUR: how many tenants have how much",
        "10,000 to 100,000",
    ):
        assert caption in page.text


def test_a_page_says_which_groups_it_draws():
    rows = [("EUR", f"k{number:02d}", "n", Decimal(number)) for number in range(50)]
    page = Page(written([outcome("aa", rows)], "html"))
    assert "value, currency EUR: by kind, the 20 largest of 50" in page.text


@pytest.mark.parametrize(
    "values", [[10.0**n for n in range(-2, 26)], [1.0] * 7, [-3.0, 0.0, 5.0], [0.5, 700.0]]
)
def test_every_value_is_in_a_bar_of_a_histogram(values):
    drawn = re.findall(r'class="value"[^>]*>([\d,]+)</text>', plots.histogram(values, "t"))
    assert len(drawn) <= plots.MOST_BARS
    assert sum(int(count) for count in drawn) == len(values)


def test_a_page_of_totals_shows_no_tenants_numbers():
    outcomes = [outcome(f"t{number}", [("EUR", "k", "n", Decimal(12345 + number))]) for number in range(6)]
    page = Page(written(outcomes, "html", totals_only=True))
    assert "12,34" not in page.text
    assert "by kind" in page.text
    assert "t3" not in page.text


@pytest.mark.parametrize("values", [[0], [-5, -1, 0, 0, 0, 0], [None] * 6, [Decimal("1e20")] * 6, [3] * 6])
def test_plots_of_odd_values_are_drawn(values):
    outcomes = [
        outcome(f"t{place}", [("EUR", "k", "n", None if value is None else Decimal(value))])
        for place, value in enumerate(values)
    ]
    out = written(outcomes, "html")
    assert Page(out).fetched == []
    assert not re.search(r'="-?(nan|inf)"|="-\d', out)


def test_a_page_says_what_it_leaves_out(monkeypatch):
    monkeypatch.setattr(html, "MOST_ROWS", 2)
    page = Page(
        written([outcome("aa", [("EUR", str(number), "n", Decimal(1)) for number in range(5)])], "html")
    )
    assert "2 rows by tenant; 3 more are not shown here, --format csv has them all" in page.text
    assert "3 more are not shown here; --format csv has them all." in page.text


@pytest.mark.parametrize("name", sorted(TEXT))
def test_nobody_answered(name):
    out = written([away("aa"), away("bb", Result.SKIPPED, "suspended")], name)
    assert "failed" in out
    assert "total " not in out


def test_a_tenant_is_put_into_a_spool_once():
    with Spool() as rows:
        rows.put("aa", [ROW] * (BLOCK + 1))
        rows.put("bb", [])
        assert len(list(rows.rows("aa"))) == rows.count("aa") == BLOCK + 1
        assert list(rows.rows("bb")) == list(rows.rows("cc")) == []
        one, other = rows.rows("aa"), rows.rows("aa")
        assert [next(one), next(other), *one] == [ROW] * (BLOCK + 2)
        with pytest.raises(ValueError, match="'aa' are here already"):
            rows.put("aa", [])


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    file = tmp_path / "out.csv"
    file.write_text("before")
    file.chmod(0o640)
    with contextlib.suppress(KeyError), written_at_once(file) as stream:
        stream.write("half")
        raise KeyError
    assert (file.read_text(), [each.name for each in tmp_path.iterdir()]) == ("before", ["out.csv"])
    with written_at_once(file) as stream:
        stream.write("whole")
        stream.flush()
        assert file.read_text() == "before"
    assert (file.read_text(), [each.name for each in tmp_path.iterdir()]) == ("whole", ["out.csv"])
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_and_a_pipe_is_written_to(tmp_path):
    file, link, pipe = tmp_path / "out.csv", tmp_path / "link.csv", tmp_path / "pipe"
    file.write_text("before")
    link.symlink_to(file)
    with written_at_once(link) as stream:
        stream.write("whole")
    assert (link.is_symlink(), file.read_text()) == (True, "whole")
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with written_at_once(pipe) as stream:
        stream.write("whole")
    reader.join(10)
    assert (read, pipe.is_fifo()) == (["whole"], True)


def test_a_disk_without_room_is_told(monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spool.pickle, "dump", full)
    with Spool() as kept, pytest.raises(spool.SpoolFull, match=r"No space left on device\. Make room there"):
        kept.put("aa", [ROW])


class Full(io.StringIO):
    def write(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_stream_without_room_is_told():
    with only_tenants(), pytest.raises(CommandError, match="stdout cannot be written: No space left"):
        call_command("report", "inventory", stdout=Full(), format="csv")


def test_a_totals_csv_of_nobody_says_so():
    out = written([away("aa")], "csv", totals_only=True)
    assert out == "currency,kind,value,answered,tenants,known\n,,,0,1,1\n"


def parquet_of(tmp_path, outcomes, report=REPORT, **options):
    outcomes = list(outcomes)
    file = tmp_path / "out.parquet"
    with (
        collecting(report, {}, outcomes, sorted(each.tenant.id for each in outcomes)) as found,
        written_at_once(file) as stream,
    ):
        write(found, stream, "parquet", **options)
    return parquet.read_table(file)


def test_parquet_has_typed_columns_and_the_coverage(tmp_path):
    found = parquet_of(tmp_path, [outcome("aa", [ROW, ("USD", None, "n", Decimal("-0.01"))]), away("bb")])
    assert found.to_pylist() == [
        {"tenant": "aa", "currency": "EUR", "kind": "k", "name": "n", "value": Decimal("1.00")},
        {"tenant": "aa", "currency": "USD", "kind": None, "name": "n", "value": Decimal("-0.01")},
    ]
    coverage = json.loads(found.schema.metadata[b"coverage"])
    assert (coverage["complete"], coverage["absent"][0]["tenant"]) == (False, "bb")


def test_parquet_has_every_type(tmp_path):
    moment = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)
    columns = {
        Column("t"): "ü",
        Column("i", int): 2**62,
        Column("d", Decimal, places=4): Decimal("1.2345"),
        Column("f", float): 0.1,
        Column("b", bool): True,
        Column("day", datetime.date): moment.date(),
        Column("moment", datetime.datetime): moment,
        Column("several", int, Distinct()): (1, 2),
        Column("one", merge=Distinct()): "x",
    }
    report = Report("r", tuple(columns), list)
    rows = [tuple(columns.values()), (None,) * len(columns)]
    totals = Totals(report)
    totals.add(rows)
    answer = Outcome(Tenant("aa", "aa"), Result.OK, value=Answer(rows, totals))
    table = parquet_of(tmp_path, [answer], report)
    expected = {column.name: value for column, value in columns.items()} | {"several": [1, 2], "one": ["x"]}
    assert table.to_pylist()[0] == {"tenant": "aa", **expected}
    assert set(table.to_pylist()[1].values()) == {"aa", None}
    merged = parquet_of(tmp_path, [answer], report, totals_only=True)
    assert merged.to_pylist() == [{"several": 2, "one": 1}]


def test_parquet_of_nothing_is_a_file(tmp_path):
    assert parquet_of(tmp_path, [away("bb")]).num_rows == 0
