"""A report's page in a real browser: it is drawn, and nothing of it is fetched or run."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from decimal import Decimal

import pytest

from tenancy.fleet import Outcome, Result
from tenancy.reports.answer import Answer
from tenancy.reports.collected import collecting
from tenancy.reports.formats import write
from tenancy.reports.report import get_report
from tenancy.reports.totals import Totals
from tenancy.tenant import Tenant

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
#: The colours of a bar, and of tenants that answered, failed and were skipped; see the page's style.
BAR, ANSWERED, FAILED, SKIPPED = (
    (0x3B, 0x6F, 0xB6),
    (0x3D, 0x8F, 0x5F),
    (0xB3, 0x37, 0x2F),
    (0x9A, 0xA4, 0xAE),
)


@pytest.fixture
def page(tmp_path):
    report = get_report("inventory")

    def outcomes():
        for number in range(40):
            tenant = Tenant(f"tenant-{number:02d}", "")
            if number == 7:
                yield Outcome(tenant, Result.FAILED, error="<img src=x onerror=alert(1)>")
            elif number == 8:
                yield Outcome(tenant, Result.SKIPPED, error="suspended")
            else:
                rows = [("EUR", number, number * 10, Decimal(number**3 + 1))]
                totals = Totals(report)
                totals.add(rows)
                yield Outcome(tenant, Result.OK, value=Answer(rows, totals))

    file = tmp_path / "page.html"
    with (
        collecting(report, {}, outcomes(), [f"tenant-{number:02d}" for number in range(40)]) as found,
        file.open("w", encoding="utf-8") as stream,
    ):
        write(found, stream, "html")
    return file


def browse(folder, *arguments):
    return subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--force-color-profile=srgb",
            f"--user-data-dir={folder / 'profile'}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


def test_it_is_drawn(page, tmp_path):
    picture = tmp_path / "page.png"
    browse(tmp_path, "--window-size=1000,1800", f"--screenshot={picture}", page.as_uri())
    width, height, colours = colours_of(picture.read_bytes())
    assert (width, height) == (1000, 1800)
    # Pixels: twenty bars of some length, and the coverage's one bar, mostly of those that answered.
    assert colours[BAR] > 20_000
    assert colours[ANSWERED] > 5_000
    assert colours[ANSWERED] > 5 * colours[FAILED] > 0
    assert colours[SKIPPED] > 0


def test_what_tenants_say_is_text(page, tmp_path):
    document = browse(tmp_path, "--dump-dom", page.as_uri()).stdout
    assert "38 of 40 tenants answered; the totals are partial." in document
    assert "<img" not in document
    assert "&lt;img src=x onerror=alert(1)&gt;" in document
    assert document.count('<rect class="bar"') >= 20


def colours_of(png: bytes):
    """The size of a picture, and how many of its pixels have which colour. (https://www.w3.org/TR/png-3/)"""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) in ((8, 2), (8, 6))
        if kind == b"IDAT":
            data += body
        at += 12 + length
    size = 3 if colour == 2 else 4
    raw, before, counts = zlib.decompress(data), bytes(width * size), {}
    counts = dict.fromkeys((BAR, ANSWERED, FAILED, SKIPPED), 0)
    for row in range(height):
        start = row * (width * size + 1)
        method, line = raw[start], bytearray(raw[start + 1 : start + 1 + width * size])
        for place in range(len(line)):
            left = line[place - size] if place >= size else 0
            above, corner = before[place], before[place - size] if place >= size else 0
            guess = left + above - corner
            paeth = min((left, above, corner), key=lambda one: abs(guess - one))
            line[place] = (line[place] + (0, left, above, (left + above) // 2, paeth)[method]) & 255
        for place in range(0, len(line), size):
            pixel = tuple(line[place : place + 3])
            if pixel in counts:
                counts[pixel] += 1
        before = bytes(line)
    return width, height, counts
