"""What a run tells at its end: a table in the terminal."""

from collections.abc import Sequence

from tas.config.targets import Target
from tas.cost.measures import MEASURES
from tas.cost.memory import size_of
from tas.runs.results import FoundResult, TimedLatency


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


def latency_words(timed: TimedLatency) -> str:
    """What was measured, and on what."""
    return (
        f"{timed.seconds_full * 1e3:.3g} -> {timed.seconds * 1e3:.3g} ms ({timed.ratio:.1%}, quartiles "
        f"{timed.ratio_low:.1%} to {timed.ratio_high:.1%} of {timed.rounds} rounds by turns; {timed.measured_on})"
    )


def memory_words(result: FoundResult) -> str:
    """The peak memory, where one is aimed at."""
    assert result.memory is not None and result.memory_full is not None
    sizes = f"{size_of(result.memory_full)} -> {size_of(result.memory)}"
    return f"{sizes} ({result.memory_ratio:.1%}) of live feature maps, an image"


def percent(share: float | None) -> str:
    """A share as a percentage."""
    return "-" if share is None else f"{share:.2%}"


def aimed(target: Target) -> str:
    """The targets, as they were given, and the tolerance: "0.5 +- 5%" where it is a share of the FLOPs."""
    amounts = target.amounts()
    parts = [
        f"{'at most ' if name == 'memory' else ''}{amount}{'' if amount.absolute else ' of the'} "
        f"{MEASURES[name].words if name in MEASURES else name}"
        for name, amount in amounts.items()
    ]
    if list(amounts) == ["flops"] and not amounts["flops"].absolute:
        parts = [str(amounts["flops"])]
    return f"{', '.join(parts)} +- {target.tolerance:.0%}"


def missed(finder: str, around: Sequence[float]) -> str:
    """What is said of a target that no network met; around it are the shares that can be reached, if known."""
    shares = " and ".join(f"{share:.4f}" for share in around)
    return f"NOT MET; this is the nearest network{f', {finder} can reach {shares}' if shares else ''}"
