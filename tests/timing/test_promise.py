"""What is promised of latency holds of what is measured, where predictions are off."""

from collections.abc import Sequence

import pytest

from tas.architecture import Architecture
from tas.config.amount import Amount
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.runs.results import TimedLatency
from tas.timing.promise import ATTEMPTS, LatencyPromise
from tests.spaces import paper_space, unpruned

SPACE = paper_space(unpruned("resnet20"))
FULL = FLOPS.exact(SPACE.plan, SPACE.full)


def ladder() -> list[tuple[int, Architecture]]:
    """Networks of the same space by what they cost, each a channel wider somewhere than the one before."""
    widths, found = {name: max(1, width // 4) for name, width in SPACE.full.widths.items()}, []
    while widths != SPACE.full.widths:
        name = min(widths, key=lambda one: widths[one] / SPACE.full.widths[one])
        widths = widths | {name: widths[name] + 1}
        network = SPACE.full.with_counts(widths, SPACE.full.depths)
        found.append((FLOPS.exact(SPACE.plan, network), network))
    return sorted(found, key=lambda pair: pair[0])


BY_COST = ladder()


def largest(budgets: Sequence[Budget]) -> Architecture:
    """The largest network that costs no more than the target, or the smallest one."""
    (budget,) = budgets
    return [BY_COST[0][1], *(one for cost, one in BY_COST if cost <= budget.target)][-1]


def promise(share: float, seconds: float, bias: float, absolute: bool = False, floor: float = 0.0) -> LatencyPromise:
    """Where a network takes `bias` times what its FLOPs say, the unpruned one `seconds`, and all at least a floor."""

    def time(network: Architecture) -> TimedLatency:
        kept = FLOPS.exact(SPACE.plan, network) / FULL
        ratio = max(floor, kept if kept == 1 else kept**bias)
        return TimedLatency(
            measured_on="a fake", seconds=ratio * seconds, seconds_full=seconds, ratio=ratio, ratio_low=ratio,
            ratio_high=ratio, rounds=1,
        )  # fmt: skip

    target = share * seconds * 1e9 if absolute else share * FULL
    amount = Amount(share * seconds * 1e9 if absolute else share, absolute)
    return LatencyPromise(Budget(target, 0.05), amount, FULL, time)


@pytest.mark.parametrize("bias", [0.5, 1.0, 1.7])
def test_the_choice_moves_until_what_is_measured_is_inside(bias: float) -> None:
    own = promise(0.6, 1.0, bias)
    found, timed = own.keep(largest, lambda one: one, SPACE.plan, [own.budget])
    assert own.kept(timed) and timed.ratio == pytest.approx(0.6, rel=0.05)
    assert timed == own.time(found)


def test_a_time_is_held_in_seconds_whatever_is_predicted() -> None:
    own = promise(0.5, 0.004, 0.8, absolute=True)
    _, timed = own.keep(largest, lambda one: one, SPACE.plan, [own.budget])
    assert own.kept(timed) and timed.seconds == pytest.approx(0.002, rel=0.05)


def test_where_nothing_is_as_fast_the_nearest_is_told_and_not_called_inside() -> None:
    asked: list[Budget] = []

    def find(budgets: Sequence[Budget]) -> Architecture:
        asked.extend(budgets)
        return largest(budgets)

    own = promise(0.4, 1.0, 1.0, floor=0.8)
    _, timed = own.keep(find, lambda one: one, SPACE.plan, [own.budget])
    assert timed.ratio == 0.8 and not own.kept(timed)
    assert 2 <= len(asked) <= ATTEMPTS
