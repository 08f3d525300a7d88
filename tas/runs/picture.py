"""Pictures: that of an architecture, and how all are written."""

from pathlib import Path
from typing import TYPE_CHECKING

from tas.architecture import Architecture
from tas.reading.plan import Plan
from tas.runs.files import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_picture(figure: "Figure", path: Path) -> None:
    """Write a picture as a PNG file, whole or not at all. TasError if it cannot be written."""
    with written_whole(path) as draft:
        figure.savefig(draft, dpi=150, format="png")


def draw_architecture(plan: Plan, architecture: Architecture) -> "Figure":
    """A picture of an architecture: for each width, in forward order, its channels out of the unpruned ones.

    Widths of blocks that are not kept are left empty.

    Args:
        plan: The structure of the unpruned network.
        architecture: What was kept of it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    channels = plan.all_widths()
    names, most = list(architecture.widths), max(channels.values(), default=1)
    home = {layer.name: layer for layer in plan.layers}
    depths = architecture.depths
    kept = [home[name].stage is None or home[name].block < depths[str(home[name].stage)] for name in names]
    figure = Figure(figsize=(max(6.0, 0.22 * len(names)), 3.4), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(names))
    axes.bar(places, [channels[name] for name in names], color="#dde3ea", label=f"{architecture.network}, unpruned")
    axes.bar(places, [architecture.widths[n] * k for n, k in zip(names, kept)], color="#2b6cb0", label="kept")
    for stage, full in plan.depths().items():
        inside = [place for place, name in enumerate(names) if home[name].stage == stage]
        if not inside:
            continue
        axes.axvline(inside[0] - 0.5, color="#a0aec0", linewidth=0.8)
        text = f"{stage}: {depths[stage]} of {full} blocks"
        place = (inside[0] + inside[-1]) / 2, 1.02
        axes.text(*place, text, rotation=25, va="bottom", fontsize=7, transform=axes.get_xaxis_transform())
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylim(0, 1.05 * most)
    axes.set_xlabel("width, in forward order")
    axes.set_ylabel("output channels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure
