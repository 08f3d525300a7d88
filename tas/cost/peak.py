"""The peak of live feature maps as a cost: the largest of sums over widths, one for each operation of a forward pass.

A feature map's bytes are its channels times a constant, and which maps are alive after an operation does not depend on
widths: so the bytes that are alive then are a sum over the widths, and a network's peak is the largest of these sums.
Where a block is left out its operations are too, and what reads the stage reads the last block that is kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tas.cost.measures import Measure
from tas.cost.memory import size_of
from tas.cost.tables import Term, bilinear
from tas.reading.plan import ChannelSource, Plan


@dataclass(frozen=True)
class LiveSum:
    """The bytes that are alive after an operation."""

    always: int
    """Whatever the widths: the image, for example."""
    each: Mapping[ChannelSource, int]
    """Width, or stage, whose output it is -> bytes for each channel."""
    stage: str | None = None
    """The stage that the operation stands in; it is carried out if that stage keeps more than `block` blocks."""
    block: int = 0

    def terms(self, part: int) -> Iterator[Term]:
        """The sum, as a part of a cost."""
        yield Term(1, 1, bilinear(self.always), self.stage, self.block, part=part)
        for source, count in self.each.items():
            yield Term(source, 1, bilinear(count), self.stage, self.block, part=part)


def peak_measure(moments: Sequence[LiveSum]) -> Measure:
    """The peak as a cost, in bytes.

    Args:
        moments: Of the unpruned network; those that are never the largest can be left out.
    """

    def terms(plan: Plan) -> Iterator[Term]:
        for part, moment in enumerate(moments):
            yield from moment.terms(part)

    return Measure("memory", "peak memory", terms, size_of, maximum=True)


def that_may_be_largest(
    moments: Sequence[LiveSum], plan: Plan, least: Mapping[str, int], shallowest: Mapping[str, int]
) -> list[LiveSum]:
    """The moments without those that another is never below, of which the operation is there too.

    Args:
        moments: All of a network.
        plan: Its structure.
        least: Width -> the fewest channels that it can have.
        shallowest: Stage -> the fewest blocks that it can keep.
    """
    sources = list(dict.fromkeys(source for moment in moments for source in moment.each))
    bytes_of = np.array([[moment.each.get(source, 0) for source in sources] for moment in moments], dtype=np.int64)
    always = np.array([moment.always for moment in moments], dtype=np.int64)
    ends = [plan.stages[str(source)].ends if source in plan.stages else (str(source),) for source in sources]
    low = np.array([min(least[str(end)] for end in widths) for widths in ends], dtype=np.int64)
    high = np.array([max(plan.widths[str(end)] for end in widths) for widths in ends], dtype=np.int64)
    there = [moment.stage is None or moment.block < shallowest[moment.stage] for moment in moments]
    in_any_case = max(low_of for low_of, certain in zip(always + bytes_of @ low, there) if certain)
    kept: list[int] = []
    # The largest first, so that what another is never below meets that.
    for place in np.argsort(-(always + bytes_of @ high), kind="stable"):
        if always[place] + bytes_of[place] @ high < in_any_case:
            break
        own = moments[place]
        above = (always[kept] >= always[place]) & (bytes_of[kept] >= bytes_of[place]).all(1)
        beside = [
            there[other] or (moments[other].stage == own.stage and moments[other].block <= own.block) for other in kept
        ]
        if not (above & np.array(beside, dtype=bool)).any():
            kept.append(int(place))
    return [moments[place] for place in sorted(kept)]
