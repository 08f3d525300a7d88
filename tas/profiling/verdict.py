"""What the figures of two networks say, in sentences."""

from collections.abc import Sequence

from tas.profiling.layers import LayerTable
from tas.profiling.measure import Latency, counted

FELL = 0.95
"""FLOPs, as a share of those before, from which down they fell: below that a saving can be told from the spread."""

STAYED = 0.9
"""Time, as a share of that before, above which it did not fall."""

MARGIN = 0.05
"""How much more of the time than of the FLOPs must be left for it to be said that time did not follow."""


def stayed(time_kept: float, flops_kept: float) -> bool:
    """Whether FLOPs fell and time did not: both as shares of those before."""
    return flops_kept <= FELL and time_kept > max(STAYED, flops_kept + MARGIN)


def arrived(time_kept: float, flops_kept: float) -> float | None:
    """How much of the FLOPs' saving is one of time: 1 for all of it, below 0 where time rose; None without a saving."""
    return (1 - time_kept) / (1 - flops_kept) if flops_kept <= FELL else None


def verdict(flops_kept: float, latencies: Sequence[Latency], layers: LayerTable, compared: bool) -> list[str]:
    """What is to be said, a sentence each.

    Args:
        flops_kept: FLOPs of the second network as a share of the first's.
        latencies: How long both take.
        layers: Where the time goes.
        compared: Whether there are two networks.
    """
    said = []
    paired = [(row, row.ratio.median) for row in latencies if row.ratio is not None]
    if compared and flops_kept > FELL:
        said.append(f"{flops_kept:.1%} of the FLOPs are left: there is no saving that time could follow.")
    elif paired:
        still = [f"{row.words} ({kept:.0%} of the time left)" for row, kept in paired if stayed(kept, flops_kept)]
        if still:
            said.append(f"FLOPs fell to {flops_kept:.1%}, and time did not: {'; '.join(still)}.")
        followed = [(arrived(kept, flops_kept) or 0.0, row) for row, kept in paired if not stayed(kept, flops_kept)]
        if followed:
            followed.sort(key=lambda pair: pair[0])
            (least, slow), (most, fast) = followed[0], followed[-1]
            upper = "" if slow is fast else f", up to {most:.0%} ({fast.words})"
            said.append(
                f"Of the {1 - flops_kept:.1%} of FLOPs saved, {least:.0%} arrive as time ({slow.words}){upper}."
            )
    side = "after" if compared else "before"
    where = f"{layers.device}, {counted(layers.images)}"
    held = listed_shares(layers.holding(side), 6)
    said.append(
        f"Half of the {'smaller network' if compared else 'network'}'s time is in these, on the {where}: {held}."
    )
    by_kind = f"By kind of layer: {listed_shares(layers.kinds(side), 4)}"
    said.append(f"{by_kind}; before: {listed_shares(layers.kinds('before'), 4)}." if compared else f"{by_kind}.")
    return said


def listed_shares(shares: dict[str, float], most: int) -> str:
    """The largest shares by name, and how many others there are."""
    first = [f"{name} {share:.0%}" for name, share in list(shares.items())[:most]]
    rest = list(shares.values())[most:]
    return ", ".join([*first, *([f"{len(rest)} more {sum(rest):.0%}"] if rest else [])])
