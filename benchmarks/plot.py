"""``python -m benchmarks.plot RESULTS.json PICTURE.svg``: a run's figures as the README's picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot  # after the choice of what draws
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from benchmarks.lineup import MEMBERSHIP, SCHEMAS, naive, ours
from benchmarks.variant import CREATE, DETAIL, LIST

CASES = (LIST, DETAIL, CREATE)
#: Told apart without colours, too: by marker, and by the order of the legend. (Okabe and Ito's palette.)
OURS, NAIVE, SCHEMA, MEMBER = "#0072b2", "#d55e00", "#009e73", "#999999"


def draw(results: dict[str, Any], file: Path) -> None:
    """Needs the parts ``requests`` and ``growth``. The file's suffix says which format."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    parts = results["parts"]
    by_tenants(left, parts["growth"]["figures"]["to single"], parts["requests"]["figures"])
    by_case(right, parts["requests"]["figures"])
    figure.suptitle("Time of a request, as a multiple of single-database Django", x=0.01, ha="left")
    # Text as shapes, so that it looks alike everywhere; no date, so that the same figures give the same file.
    mpl.rcParams["svg.hashsalt"] = "freehold"
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=110)
    pyplot.close(figure)


def by_tenants(axes: Axes, growth: dict[str, Any], requests: dict[str, Any]) -> None:
    found = growth[DETAIL]
    for make, colour, label, marker in (
        (naive, NAIVE, "router with an alias per tenant", "s"),
        (ours, OURS, "Freehold", "o"),
    ):
        sizes = [size for size in (3, 10, 50, 100, 1_000, 10_000) if make(size).name in found]
        rows = [found[make(size).name] for size in sizes]
        medians = [row["median"] for row in rows]
        axes.plot(sizes, medians, color=colour, marker=marker, label=label)
        axes.fill_between(
            sizes, [row["low"] for row in rows], [row["high"] for row in rows], color=colour, alpha=0.2
        )
        axes.annotate(
            f"{medians[-1]:.2g} ×",
            (sizes[-1], medians[-1]),
            (6, -3),
            textcoords="offset points",
            color=colour,
        )
    theirs = requests[DETAIL][SCHEMAS.name]["to single"]["median"]
    axes.plot(SCHEMAS.tenants, theirs, color=SCHEMA, marker="D", linestyle="none", label="django-tenants")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="tenants configured",
        title="GET of one product",
        xlim=(2.5, 30_000),
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks([1, 2, 5, 10, 20, 30])
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False, loc="upper left")


def by_case(axes: Axes, requests: dict[str, Any]) -> None:
    bars = (
        (MEMBERSHIP.name, MEMBER, "single database + membership check", ""),
        (ours(10_000).name, OURS, "Freehold, 10,000 tenants", ""),
        (SCHEMAS.name, SCHEMA, "django-tenants, 50 schemas", "//"),
    )
    width = 0.8 / len(bars)
    for number, (name, colour, label, hatch) in enumerate(bars):
        rows = [requests[case][name]["to single"] for case in CASES]
        places = [case + (number - 1) * width for case in range(len(CASES))]
        medians = [row["median"] for row in rows]
        errors = [[row["median"] - row["low"] for row in rows], [row["high"] - row["median"] for row in rows]]
        look = {"color": colour, "hatch": hatch, "edgecolor": "white", "error_kw": {"linewidth": 0.8}}
        drawn = axes.bar(places, medians, width * 0.92, yerr=errors, label=label, **look)
        axes.bar_label(drawn, [f"{median:.2f}" for median in medians], padding=2, fontsize=8)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(title="Products", xticks=range(len(CASES)), xticklabels=CASES)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.25)
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", fontsize=8)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
