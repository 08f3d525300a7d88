"""What a run tells at its end: a table in the terminal, a picture of the architecture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tas.architecture import Architecture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def summary(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A title and two aligned columns, ready to print."""
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows]
    rule = "-" * max(len(line) for line in [*lines, title])
    return "\n".join([rule, title, rule, *lines, rule])


def millions(count: float) -> str:
    """A count of FLOPs or parameters in millions: 40813184 is 40.81 M."""
    return f"{count / 1e6:.2f} M" if count >= 1e4 else f"{count / 1e6:.4f} M"


def change(before: float, after: float) -> str:
    """'before -> after (share kept)', both in millions."""
    return f"{millions(before)} -> {millions(after)} ({after / before:.1%})"


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "-" if share is None else f"{share:.2%}"


def draw_architecture(architecture: Architecture) -> "Figure":
    """A picture of an architecture: for each convolution, in forward order, its channels out of the unpruned ones.

    Convolutions of blocks that are not kept are left empty.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    full = Architecture.full(architecture.network, architecture.num_classes, architecture.in_channels)
    names = list(full.widths)
    kept = [architecture.widths[name] if is_kept(architecture, name) else 0 for name in names]
    figure = Figure(figsize=(max(6.0, 0.22 * len(names)), 3.4), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(names))
    axes.bar(places, [full.widths[name] for name in names], color="#dde3ea", label=f"{architecture.network}, unpruned")
    axes.bar(places, kept, color="#2b6cb0", label="kept")
    for stage in full.depths:
        last = max(place for place, name in enumerate(names) if name.startswith(f"{stage}."))
        first = min(place for place, name in enumerate(names) if name.startswith(f"{stage}."))
        axes.axvline(first - 0.5, color="#a0aec0", linewidth=0.8)
        blocks = f"{stage}: {architecture.depths[stage]} of {full.depths[stage]} blocks"
        axes.text((first + last) / 2, 1.02 * max(full.widths.values()), blocks, ha="center", va="bottom", fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 1.14 * max(full.widths.values()))
    axes.set_xlabel("convolution, in forward order")
    axes.set_ylabel("output channels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def is_kept(architecture: Architecture, name: str) -> bool:
    """Whether a convolution stands in a block that the architecture keeps; those outside the stages always do."""
    stage, *place = name.split(".")
    return stage not in architecture.depths or int(place[0]) < architecture.depths[stage]
