"""Pictures of a comparison."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tas.comparison.aims import BESIDE, WORDS
from tas.comparison.methods import UNPRUNED
from tas.comparison.statistics import Mean, pareto_front
from tas.errors import TasError
from tas.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X<>ph"

LEAST_COST_SHOWN = 0.04
"""Share of the cost that an axis shows at least: networks of one target stand together, and look so."""

LEAST_ACCURACY_SHOWN = 0.05
"""The same of accuracies: a few test images more or less are no gulf."""


def draw_pareto(means: Sequence[Mean]) -> "Figure":
    """Accuracy against cost: a row each measure that was aimed at, a panel each way of training.

    A marker stands for a method, the Pareto front connects the best of each target. Bars are standard deviations over
    seeds. The dashed line is the unpruned network, the dotted ones are targets.

    Args:
        means: The means over seeds of all trainings, unpruned ones included.
    """
    from matplotlib.figure import Figure

    small = [mean for mean in means if mean.method != UNPRUNED]
    unpruned = [mean.accuracy_mean for mean in means if mean.method == UNPRUNED]
    measures = list(dict.fromkeys(mean.measure for mean in small))
    trainings = list(dict.fromkeys(mean.training for mean in small))
    methods = list(dict.fromkeys(mean.method for mean in small))
    figure = Figure(figsize=(2.4 + 3.8 * len(trainings), 0.5 + 4.2 * len(measures)), layout="constrained")
    for measure, row in zip(measures, figure.subplots(len(measures), len(trainings), squeeze=False, sharey=True)):
        for training, axes in zip(trainings, row):
            here = [mean for mean in small if (mean.measure, mean.training) == (measure, training)]
            draw_methods(axes, here, methods)
            for accuracy in unpruned:
                axes.axhline(accuracy, linestyle="--", color="#4a5568", linewidth=0.9, label="unpruned network")
            axes.set_title(training)
            first, *others = (WORDS[one] for one in measure.split(BESIDE))
            beside = f", {' and '.join(others)} likewise" if others else ""
            axes.set_xlabel(f"{first} kept, % of the unpruned network's{beside}")
        row[0].set_ylabel("test accuracy, %")
    named: dict[str, Any] = {}
    for axes in figure.axes:
        widen(axes)  # when all have been drawn, since they share the axis of accuracies
        handles, labels = axes.get_legend_handles_labels()
        named |= dict(zip(labels, handles))
    figure.legend(list(named.values()), list(named), loc="outside right upper", fontsize=8)
    lowest = figure.axes[0].get_ylim()[0]
    figure.supxlabel(f"{spread(small)}; the axis of accuracies begins at {lowest:.1%}", fontsize=8)
    return figure


def spread(means: Sequence[Mean]) -> str:
    """What a picture of means has to say of their spread."""
    seeds = sorted({mean.seeds for mean in means})
    if seeds == [1]:
        return "one seed: no spread is known"
    several = [str(count) for count in seeds if count > 1]
    shown = f"bars: standard deviation over {' or '.join(several)} seeds"
    return f"{shown}; without a bar: one seed, no spread is known" if 1 in seeds else shown


def draw_methods(axes: "Axes", means: Sequence[Mean], methods: Sequence[str]) -> None:
    """The means of one measure and way of training, and the front through the best of them.

    Args:
        axes: Where to draw.
        means: A point each.
        methods: All of the comparison, in the order of colours and markers.
    """
    for target in {mean.target for mean in means}:
        axes.axvline(target, linestyle=":", color="#a0aec0", linewidth=0.9, zorder=0)
    front = front_of_targets(means)
    if len(front) > 1:
        axes.plot(*zip(*front), color="#a0aec0", zorder=1, drawstyle="steps-post", label="Pareto front")
    for place, method in enumerate(methods):
        points = sorted((mean for mean in means if mean.method == method), key=lambda mean: mean.cost_ratio)
        axes.errorbar(
            [mean.cost_ratio for mean in points],
            [mean.accuracy_mean for mean in points],
            [math.nan if mean.accuracy_std is None else mean.accuracy_std for mean in points],  # nan: no bar
            fmt=MARKERS[place % len(MARKERS)],
            color=f"C{place % 10}",
            capsize=3,
            label=method,
        )
    axes.grid(alpha=0.3)


def front_of_targets(means: Sequence[Mean]) -> list[tuple[float, float]]:
    """The Pareto front through the best mean of each target.

    Networks that aim at one target have one cost but for its roundings, by which none is to beat another; those that
    missed it have another cost, and compete with none.
    """
    best: dict[str, Mean] = {}
    for mean in means:
        if mean.target_met and (mean.aimed not in best or mean.accuracy_mean > best[mean.aimed].accuracy_mean):
            best[mean.aimed] = mean
    return pareto_front([(mean.cost_ratio, mean.accuracy_mean) for mean in best.values()])


def widen(axes: "Axes") -> None:
    """Make room around what is drawn, so that small gaps look small, and write percents at the axes."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.margins(0.08)
    for axis, least in ((axes.xaxis, LEAST_COST_SHOWN), (axes.yaxis, LEAST_ACCURACY_SHOWN)):
        low, high = axis.get_view_interval()
        margin = max(0.0, least - (high - low)) / 2
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(max(0.0, low - margin), high + margin)
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(PercentFormatter(1, symbol=""))


def draw_curves(searches: Mapping[str, Sequence[Path]], measures: Sequence[str]) -> "Figure":
    """Cost and confidence over the epochs of searches (the paper's Figure 3).

    Args:
        searches: What a colour stands for -> folders of finished searches, one a seed.
        measures: The costs that are drawn; a search that did not aim at one has no curve of it.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawn = {f"{name}/derived_ratio": f"{WORDS[name]} of the likeliest network" for name in measures}
    drawn["confidence/mean"] = "mean confidence"
    figure = Figure(figsize=(5.25 * len(drawn), 4.2), layout="constrained")
    for axes, (scalar, name) in zip(figure.subplots(1, len(drawn), sharex=True), drawn.items()):
        for place, (label, folders) in enumerate(searches.items()):
            for number, folder in enumerate(folders):
                shown = label if number == 0 else None
                curve = read_curve(folder, scalar)
                axes.plot(list(curve), list(curve.values()), color=f"C{place % 10}", alpha=0.8, label=shown)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def read_curve(folder: Path, scalar: str) -> dict[int, float]:
    """Epoch, counted from 1, -> the last value of a scalar in it, from a run's curves.csv; none where it has none."""
    curves = Run(folder).curves
    if not curves.is_file():
        return {}
    try:
        with curves.open(encoding="utf-8") as file:
            return {int(row["epoch"]): float(row[scalar]) for row in csv.DictReader(file) if row.get(scalar)}
    except (ValueError, KeyError, TypeError, csv.Error):
        raise TasError(f"{curves}: damaged; delete it to draw the others without it") from None
