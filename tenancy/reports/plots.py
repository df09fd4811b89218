"""Plots as SVG, in a page that stands alone: no script, no font, nothing fetched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

#: In SVG's units, which are pixels where the page is not narrower.
WIDTH, LABEL, BAR, GAP = 720, 190, 18, 6
#: Bars that can be read; what is beyond is told in words.
MOST_BARS = 20
#: Letters of a label that have room.
LETTERS = 26


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    #: As it is written beside the bar.
    text: str


def bars(items: Sequence[Bar], title: str) -> SafeString:
    """One bar for each item, from above, none below zero."""
    shown = items[:MOST_BARS]
    most = max((abs(item.value) for item in shown), default=0.0) or 1.0
    room = WIDTH - LABEL - 130
    height = len(shown) * (BAR + GAP) + GAP
    drawn = format_html_join(
        "",
        '<text class="label" x="{}" y="{}">{}<title>{}</title></text>'
        '<rect class="bar" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>'
        '<text class="value" x="{}" y="{}">{}</text>',
        (
            (
                LABEL - 8,
                top + BAR - 5,
                _short(item.label),
                item.label,
                LABEL,
                top,
                f"{max(1.0, length):.1f}",
                BAR,
                item.label,
                item.text,
                f"{LABEL + length + 8:.1f}",
                top + BAR - 5,
                item.text,
            )
            for item, top, length in (
                (item, GAP + place * (BAR + GAP), max(0.0, item.value) / most * room)
                for place, item in enumerate(shown)
            )
        ),
    )
    return _figure(title, height, drawn)


def histogram(values: Sequence[float], title: str) -> SafeString:
    """How many of the values lie in each of some ranges; these grow tenfold where the values do."""
    edges = _edges(values)
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = next((place for place in range(len(counts)) if value < edges[place + 1]), len(counts) - 1)
        counts[place] += 1
    return bars(
        [
            Bar(f"{_edge(low)} to {_edge(high)}", count, f"{count:,}")
            for low, high, count in zip(edges, edges[1:], counts, strict=False)
        ],
        title,
    )


def _edges(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    if low > 0 and high / low > 100:
        first, last = math.floor(math.log10(low)), math.floor(math.log10(high)) + 1
        decades = math.ceil((last - first) / MOST_BARS)
        return [10.0**power for power in range(first, last + decades, decades)]
    if low == high:
        return [low, high]
    count = max(2, min(MOST_BARS, round(math.sqrt(len(values)))))
    step = (high - low) / count
    return [low + step * place for place in range(count)] + [high]


def share(parts: Sequence[tuple[str, int]], title: str) -> SafeString:
    """One bar, in parts of these names and sizes. A part is never too thin to be seen."""
    parts = [(name, size) for name, size in parts if size]
    total = sum(size for _, size in parts) or 1
    least = 4.0
    room = WIDTH - least * len(parts)
    drawn, left = [], 0.0
    for name, size in parts:
        width = least + size / total * room
        drawn.append((name, f"{left:.1f}", GAP, f"{width:.1f}", BAR * 1.5, name, size))
        left += width
    legend = []
    left = 0.0
    for name, size in parts:
        text = f"{name}: {size:,}"
        legend.append((name, f"{left:.1f}", f"{left + 18:.1f}", text))
        left += 34 + 7.2 * len(text)
    return _figure(
        title,
        70,
        format_html_join(
            "", '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>', drawn
        ),
        format_html_join(
            "",
            '<rect class="{}" x="{}" y="48" width="12" height="12"/>'
            '<text class="key" x="{}" y="59">{}</text>',
            legend,
        ),
    )


def _figure(title: str, height: float, *drawn: SafeString) -> SafeString:
    return format_html(
        "<figure><figcaption>{}</figcaption>"
        '<svg role="img" aria-label="{}" viewBox="0 0 {} {}">{}</svg></figure>',
        title,
        title,
        WIDTH,
        f"{height:.0f}",
        SafeString("".join(drawn)),
    )


def _edge(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _short(label: str) -> str:
    return label if len(label) <= LETTERS else f"{label[: LETTERS - 1]}…"
