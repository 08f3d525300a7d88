"""Pictures of scores: what each width and depth is worth, and the front of accuracy against cost."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LETTER = 0.05
"""Inches that a letter of a name beside an axis takes, at 6 points."""


def draw_elasticities(elasticities: Mapping[str, Sequence[float]]) -> "Figure":
    """A picture: for each width and step of depth its elasticity, with an error bar.

    Args:
        elasticities: Name -> value and standard error.
    """
    from matplotlib.figure import Figure

    wide, names = max(6.0, 0.22 * len(elasticities)), 0.2 + LETTER * max(map(len, elasticities), default=0)
    high = 2.7 + names
    figure = Figure(figsize=(wide, high))
    axes = figure.add_axes((0.8 / wide, names / high, 1 - 0.9 / wide, 2.3 / high))
    places = range(len(elasticities))
    values, errors = ([pair[place] for pair in elasticities.values()] for place in (0, 1))
    axes.bar(places, values, yerr=errors, color="#2b6cb0", ecolor="#4a5568", error_kw={"linewidth": 0.8})
    axes.axhline(0, color="#a0aec0", linewidth=0.8)
    axes.set_xticks(places, list(elasticities), rotation=90, fontsize=6)
    axes.set_ylabel("elasticity of the loss")
    axes.set_title("loss saved by e times as many channels (or blocks), with its standard error", fontsize=8)
    return figure


def draw_front(points: Sequence[Mapping[str, float | str]], cost: str) -> "Figure":
    """A picture of accuracy against cost: a line for what scores choose, with error bars, and one for each control.

    Args:
        points: "network", "share" of the cost, "accuracy" and its "error", a row each.
        cost: What it costs, in words.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for name in dict.fromkeys(point["network"] for point in points):
        own = sorted((p for p in points if p["network"] == name), key=lambda point: float(point["share"]))
        x = [100 * float(point["share"]) for point in own]
        y = [100 * float(point["accuracy"]) for point in own]
        if name == "found":
            error = [100 * float(point["error"]) for point in own]
            axes.errorbar(x, y, yerr=error, marker="o", markersize=3, color="#2b6cb0", label=name, capsize=2)
        else:
            axes.plot(x, y, marker=".", linewidth=0.8, label=name)
    axes.set_xlabel(f"{cost} kept, %")
    axes.set_ylabel("predicted accuracy with the search's weights, %", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    return figure
