"""Pictures of a comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tas.comparison.methods import UNPRUNED
from tas.comparison.statistics import Mean, pareto_front

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vP*X<>ph"

LEAST_FLOPS_SHOWN = 0.02
"""Share of the FLOPs that an axis shows at least: networks of one budget stand together."""

DRAWN_CURVES = {"flops/derived_ratio": "FLOPs of the likeliest network", "confidence/mean": "mean confidence"}
"""Scalars of a search's event files -> what they are."""


def draw_pareto(means: Sequence[Mean]) -> "Figure":
    """Accuracy against FLOPs: a panel each way of training, a marker each method, the Pareto front through the best.

    Bars are standard deviations over seeds. The dashed line is the unpruned network.

    Args:
        means: The means over seeds of all trainings, unpruned ones included.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    small = [mean for mean in means if mean.method != UNPRUNED]
    unpruned = [mean.accuracy_mean for mean in means if mean.method == UNPRUNED]
    trainings = list(dict.fromkeys(mean.training for mean in small))
    methods = list(dict.fromkeys(mean.method for mean in small))
    figure = Figure(figsize=(2.4 + 3.8 * max(1, len(trainings)), 4.2), layout="constrained")
    panels = figure.subplots(1, max(1, len(trainings)), squeeze=False, sharey=True)[0]
    for axes, training in zip(panels, trainings):
        here = [mean for mean in small if mean.training == training]
        front = pareto_front([(mean.flops_ratio, mean.accuracy_mean) for mean in here])
        axes.plot(*zip(*front), color="#a0aec0", zorder=1, drawstyle="steps-post", label="Pareto front")
        for place, method in enumerate(methods):
            points = sorted((m for m in here if m.method == method), key=lambda mean: mean.flops_ratio)
            axes.errorbar(
                [mean.flops_ratio for mean in points],
                [mean.accuracy_mean for mean in points],
                [mean.accuracy_std or 0.0 for mean in points],
                fmt=MARKERS[place % len(MARKERS)],
                color=f"C{place % 10}",
                capsize=3,
                label=method,
            )
        for accuracy in unpruned:
            axes.axhline(accuracy, linestyle="--", color="#4a5568", linewidth=0.9, label="unpruned network")
        axes.set_title(training)
        axes.set_xlabel("FLOPs kept")
        low, high = axes.get_xlim()
        margin = max(0.0, LEAST_FLOPS_SHOWN - (high - low)) / 2
        axes.set_xlim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy")
    figure.legend(*panels[-1].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return figure


def draw_curves(searches: Mapping[str, Sequence[Path]]) -> "Figure":
    """FLOPs and confidence over the epochs of searches (the paper's Figure 3).

    Args:
        searches: What a colour stands for -> folders of finished searches, one a seed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    for axes, (scalar, name) in zip(figure.subplots(1, len(DRAWN_CURVES), sharex=True), DRAWN_CURVES.items()):
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
    """Epoch, counted from 1, -> the last value of a scalar in it, from the event files of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})  # 0 keeps all
    events.Reload()
    if scalar not in events.Tags()["scalars"]:
        return {}
    epochs = {event.step: int(event.value) + 1 for event in events.Scalars("epoch")}
    return {epochs[event.step]: event.value for event in events.Scalars(scalar)}
