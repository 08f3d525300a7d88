"""The means of a comparison as a table in Markdown."""

from collections.abc import Collection, Sequence

from tas.comparison.results import UNPRUNED
from tas.comparison.statistics import Difference, Mean
from tas.report import millions, percent

HEAD = (
    "FLOPs aimed at",
    "training",
    "method",
    "test accuracy",
    "seeds",
    "FLOPs",
    "parameters",
    "epochs",
    "search",
    "training takes",
)


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned in the source too."""
    sizes = [max(len(line[column]) for line in (head, *lines)) for column in range(len(head))]
    rule = ["-" * size for size in sizes]
    rows = [[cell.ljust(size) for cell, size in zip(line, sizes)] for line in (head, rule, *lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def table(means: Sequence[Mean], apart: Collection[str] = ()) -> str:
    """The table of a comparison.

    Args:
        means: A line each.
        apart: Methods that get a table of their own below, since their FLOPs save no time on ordinary hardware.
    """
    groups = {
        (mean.target, mean.training): position for position, mean in reversed(list(enumerate(means)))
    }  # the first position of each, so that methods stand together under one target and training
    ordered = sorted(means, key=lambda mean: (mean.method == UNPRUNED, groups[mean.target, mean.training]))
    text = markdown(HEAD, [line(mean) for mean in ordered if mean.method not in apart])
    rest = [line(mean) for mean in ordered if mean.method in apart]
    if rest:
        text += (
            "\nSingle weights set to zero: FLOPs are multiply-adds by the other weights. The network keeps its shape "
            f"and its number of parameters, and ordinary hardware gains nothing.\n\n{markdown(HEAD, rest)}"
        )
    return text


def line(mean: Mean) -> tuple[str, ...]:
    """A line of the table."""
    spread = "" if mean.accuracy_std is None else f" ± {100 * mean.accuracy_std:.2f}"
    return (
        "-" if mean.method == UNPRUNED else f"{mean.target:g}",
        mean.training,
        mean.method,
        f"{100 * mean.accuracy_mean:.2f}{spread} %",
        str(mean.seeds),
        percent(mean.flops_ratio) + ("" if mean.target_met else ", MISSED"),
        millions(mean.params),
        f"{mean.epochs:g}",
        "-" if mean.method == UNPRUNED else f"{mean.search_seconds:.0f} s",
        f"{mean.train_seconds:.0f} s",
    )


def sentence(difference: Difference, control: str) -> str:
    """What a difference to the control says."""
    start = f"FLOPs {difference.target:g}, {difference.training}: {difference.method}"
    if difference.mean is None:
        return f"{start} has no seed in common with {control}; nothing can be said."
    points = f"{100 * difference.mean:+.2f} points from {control}"
    if difference.low is None or difference.high is None:
        return f"{start} is {points} with one common seed; nothing can be said."
    interval = f"95 % interval {100 * difference.low:+.2f} to {100 * difference.high:+.2f}, {difference.seeds} seeds"
    if not difference.clear:
        return f"{start} is {points} ({interval}): no more than the seeds' spread."
    side = "better" if difference.mean > 0 else "worse"
    return f"{start} is {points} ({interval}): {side} by more than the seeds' spread."
