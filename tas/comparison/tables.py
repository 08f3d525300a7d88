"""What a comparison says: tables in Markdown, and sentences."""

from collections.abc import Collection, Sequence

from tas.comparison.agreement import Agreement
from tas.comparison.aims import BESIDE, WORDS, aim_start, aim_words, leading_measure
from tas.comparison.methods import UNPRUNED
from tas.comparison.rank_correlation import PooledRanking, RankCorrelation
from tas.comparison.statistics import LEAST_SEEDS, Difference, Mean
from tas.cost.latency import NANOSECONDS, in_time_units
from tas.cost.memory import size_of
from tas.runs.summary import millions, percent

HEAD = (
    "aimed at",
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


MEASURED = {"latency": "latency_ratio", "peak memory": "memory_ratio"}
"""Columns that stand after these where something of them was aimed at -> the field of a mean that is then known."""


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
        (mean.measure, mean.aimed, mean.training): position for position, mean in reversed(list(enumerate(means)))
    }  # the first position of each, so that methods stand together under one target and training
    ordered = sorted(means, key=lambda mean: (mean.method == UNPRUNED, groups[mean.measure, mean.aimed, mean.training]))
    shown = [name for name, key in MEASURED.items() if any(getattr(mean, key) is not None for mean in means)]
    head = (*HEAD, *shown)
    text = markdown(head, [line(mean, shown) for mean in ordered if mean.method not in apart])
    rest = [line(mean, shown) for mean in ordered if mean.method in apart]
    if rest:
        text += (
            "\nSingle weights set to zero: FLOPs are multiply-adds by the other weights. The network keeps its shape "
            f"and its number of parameters, and ordinary hardware gains nothing.\n\n{markdown(head, rest)}"
        )
    return text


def line(mean: Mean, shown: Sequence[str] = ()) -> tuple[str, ...]:
    """A line of the table, with those of the columns `MEASURED` that are shown."""
    spread = "" if mean.accuracy_std is None else f" ± {100 * mean.accuracy_std:.2f}"
    # With several targets at once the first column says it, since any of them may be missed.
    missed = {mean.measure: "" if mean.target_met else ", MISSED"}
    params = f" ({percent(mean.params_ratio)})" if "params" in mean.measure.split(BESIDE) else ""
    measured = {
        "latency": latency_cell(mean) + missed.get("latency", ""),
        "peak memory": memory_cell(mean) + missed.get("memory", ""),
    }
    return (
        "-" if mean.method == UNPRUNED else aim_words(mean) + missed.get(mean.measure, "") * (BESIDE in mean.measure),
        mean.training,
        mean.method,
        f"{100 * mean.accuracy_mean:.2f}{spread} %",
        str(mean.seeds),
        percent(mean.flops_ratio) + missed.get("flops", ""),
        millions(mean.params) + params + missed.get("params", ""),
        f"{mean.epochs:g}",
        "-" if mean.method == UNPRUNED else f"{mean.search_seconds:.0f} s",
        f"{mean.train_seconds:.0f} s",
        *(measured[name] for name in shown),
    )


def latency_cell(mean: Mean) -> str:
    """What was measured of the latency: median, quartiles and time."""
    if mean.latency_ratio is None or mean.latency_seconds is None:
        return "-"
    quartiles = f"{percent(mean.latency_low)} to {percent(mean.latency_high)}"
    return f"{percent(mean.latency_ratio)} ({quartiles}), {in_time_units(mean.latency_seconds * NANOSECONDS)}"


def memory_cell(mean: Mean) -> str:
    """What was counted of the peak memory."""
    return "-" if mean.memory is None else f"{size_of(mean.memory)} ({percent(mean.memory_ratio)})"


def sentence(difference: Difference) -> str:
    """What a difference to a control says."""
    one = difference
    words = WORDS[leading_measure(one.measure)]
    start = f"{aim_start(one)}, {one.training}: {one.method}"
    if one.mean is None or one.cost_ratio is None or one.control_cost_ratio is None:
        return f"{start} has no seed in common with {one.control}; nothing can be said."
    points = f"{100 * one.mean:+.2f} points from {one.control}"
    if one.low is None or one.high is None:
        interval = "one common seed"
    else:
        interval = f"95 % interval {100 * one.low:+.2f} to {100 * one.high:+.2f}, {one.seeds} seeds"
    start = f"{start} is {points} ({interval})"
    if not (one.target_met and one.control_target_met):
        if BESIDE in one.measure:
            return f"{start}, but not at equal cost: not all targets were met; nothing can be said."
        own, other = percent(one.cost_ratio), percent(one.control_cost_ratio)
        return f"{start}, but not at equal cost: {own} of the {words} and {other}; nothing can be said."
    if one.seeds < LEAST_SEEDS:
        return f"{start}; with fewer than {LEAST_SEEDS} seeds nothing can be said."
    if one.verdict is None:
        return f"{start}; every seed differs by the same, so that there is no spread to compare with."
    if one.verdict == "within the spread":
        return f"{start}: no more than the seeds' spread."
    return f"{start}: {one.verdict} by more than the seeds' spread."


def agreement_table(agreements: Sequence[Agreement]) -> str:
    """The agreements as a table in Markdown."""
    head = ("aimed at", "method", "seeds", "distance", "of random networks", "ratio")
    lines = [
        (
            f"{one.target:g} {WORDS[one.measure]}",
            one.method,
            str(one.seeds),
            f"{one.distance:.3f}",
            f"{one.random_distance:.3f}",
            or_dash(one.ratio, ".2f"),
        )
        for one in agreements
    ]
    return markdown(head, lines)


def rank_table(ranked: Sequence[RankCorrelation]) -> str:
    """The rank correlations as a table in Markdown."""
    head = (
        "aimed at",
        "method",
        "seed",
        "networks",
        "tau",
        "p",
        "scores' tau",
        "their mean",
        "their best",
        "found",
        "beats",
    )
    lines = [
        (
            f"{one.target:g} {WORDS[one.measure]}",
            one.method,
            str(one.seed),
            str(one.networks),
            or_dash(one.kendall_tau, "+.2f"),
            or_dash(one.p_value, ".2g"),
            or_dash(one.scores_tau, "+.2f"),
            percent(one.accuracy_mean),
            percent(one.accuracy_best),
            percent(one.found_accuracy),
            f"{one.found_beats} of {one.networks}",
        )
        for one in ranked
    ]
    return markdown(head, lines)


def pooled_table(pooled: Sequence[PooledRanking]) -> str:
    """The rank correlations over seeds as a table in Markdown."""
    head = ("aimed at", "method", "seeds", "tau", "p", "scores' tau", "better than their mean by", "beats")
    lines = [
        (
            f"{one.target:g} {WORDS[one.measure]}",
            one.method,
            str(one.seeds),
            or_dash(one.kendall_tau, "+.2f"),
            or_dash(one.p_value, ".2g"),
            or_dash(one.scores_tau, "+.2f"),
            gain(one),
            f"{one.found_beats} of {one.networks}",
        )
        for one in pooled
    ]
    return markdown(head, lines)


def or_dash(value: float | None, form: str) -> str:
    """A number in a format; a dash where there is none."""
    return "-" if value is None else format(value, form)


def gain(pooled: PooledRanking) -> str:
    """By how many points found networks are better than random ones, with the interval where there is one."""
    points = f"{100 * pooled.gain:+.2f}"
    if pooled.low is None or pooled.high is None:
        return points
    return f"{points} ({100 * pooled.low:+.2f} to {100 * pooled.high:+.2f})"
