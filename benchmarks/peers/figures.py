"""The figures of the peers' page: time per step, share of the peak, and thread scaling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from registry import PEERS

if TYPE_CHECKING:
    from results import Row

matplotlib.use("agg")
matplotlib.rcParams["svg.hashsalt"] = "fastnn"  # the same results give the same file

from matplotlib import pyplot as plt  # noqa: E402 (the backend first)

COLOURS = {peer: f"C{number}" for number, peer in enumerate(PEERS)}

Value = Callable[["Row", str], float | None]


def grouped_bars(axes: Any, rows: list[Row], value: Value) -> None:
    """A group for each row and a bar for each peer."""
    peers = [peer for peer in PEERS if any(peer in row.results for row in rows)]
    width = 0.8 / len(peers)
    for number, peer in enumerate(peers):
        offset = (number - (len(peers) - 1) / 2) * width
        lengths = [value(row, peer) if peer in row.results else None for row in rows]
        drawn = [(place + offset, v) for place, v in enumerate(lengths) if v is not None]
        if drawn:
            places, heights = zip(*drawn, strict=True)
            label = PEERS[peer].title
            axes.bar(places, heights, width, label=label, color=COLOURS[peer])
    axes.set_xticks(range(len(rows)), [row.name for row in rows])
    axes.spines[["top", "right"]].set_visible(False)


def draw(
    panels: dict[str, list[Row]], value: Value, label: str, path: Path, *, log: bool = False
) -> Path:
    """One figure with a panel for each title."""
    size = (9.0, 3.2 * len(panels))
    figure, axes = plt.subplots(len(panels), 1, figsize=size, squeeze=False, layout="constrained")
    for ax, (title, rows) in zip(axes[:, 0], panels.items(), strict=True):
        grouped_bars(ax, rows, value)
        ax.set_title(title, fontsize=9)
        ax.set_ylabel(label)
        if log:
            ax.set_yscale("log")
        else:
            ax.axhline(1.0, color="black", linewidth=0.8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=120)
    plt.close(figure)
    return path


def draw_training(rows: list[Row], figures: Path, suffix: str) -> list[Path]:
    """Draw what the training rows show and return the figures' paths."""
    figures.mkdir(parents=True, exist_ok=True)
    counts = sorted({row.threads for row in rows})
    by_threads = {
        f"{count} thread{'s' * (count > 1)}": [row for row in rows if row.threads == count]
        for count in counts
    }

    def path(name: str) -> Path:
        return figures / f"peers-{name}.{suffix}"

    drawn = [
        draw(by_threads, microseconds, "us a step", path("time"), log=True),
        draw(by_threads, lambda row, peer: row.share(peer), "share of the peak", path("share")),
    ]
    if len(counts) > 1:
        few, many = (
            {row.name: row for row in rows if row.threads == count}
            for count in (counts[0], counts[-1])
        )

        def scaling(row: Row, peer: str) -> float | None:
            one = few.get(row.name)
            if one is None or peer not in one.results:
                return None
            return one.seconds(peer) / row.seconds(peer)

        title = f"{counts[-1]} threads against {counts[0]}"
        drawn.append(draw({title: list(many.values())}, scaling, "speed-up", path("scaling")))
    return drawn


def microseconds(row: Row, peer: str) -> float:
    return row.seconds(peer) * 1e6
