"""The peak of live feature maps as a cost: closed forms of networks whose peak can be told by hand."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from tas.cost.budget import Budget
from tas.cost.expected import ExpectedCost
from tas.cost.measures import Measure
from tas.cost.peak import LiveSum, peak_measure, that_may_be_largest
from tas.space.of_network import search_space
from tas.space.peak_memory import Peaks
from tas.space.space import SearchSpace
from tests.small_networks import Made, conv, pooled
from tests.spaces import plan_of

MAP = 16 * 4
"""Bytes of a channel of 4x4."""


def read(network: nn.Module) -> tuple[SearchSpace, Measure]:
    """The space and the peak of a network for images of 3x4x4."""
    space = search_space(network, torch.zeros(1, 3, 4, 4), ratios=(0.25, 0.5, 0.75, 1.0))
    return space, Peaks(network, space).measure()


def test_a_chain_peaks_at_one_of_two_operations() -> None:
    chain = nn.Sequential(conv(3, 8, 1), nn.ReLU(), conv(8, 12, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    space, measure = read(nn.Sequential(*chain, nn.Linear(12, 5)))
    for a, b in itertools.product((2, 4, 6, 8), (3, 6, 9, 12)):
        network = space.choose({"0": a, "2": b}, {})
        # The image, and beside it the first convolution's output with what the activation, or the second, makes of it.
        assert measure.exact(space.plan, network) == MAP * max(3 + a + a, 3 + a + b)


def test_a_residual_network_keeps_what_it_adds() -> None:
    network = Made(
        lambda net, x: net.fc(pooled((h := net.stem(x)) + net.b(net.a(h)))),
        **{"stem": conv(3, 8), "a": conv(8, 16), "b": conv(16, 8), "fc": nn.Linear(8, 5)},
    )
    space, measure = read(network)
    assert set(space.widths) == {"stem", "a"}
    for outer, inner in itertools.product((2, 4, 6, 8), (4, 8, 12, 16)):
        network = space.choose({"stem": outer, "a": inner}, {})
        # Image, the stem's output, and either both ends of the last convolution or both sides of the sum.
        assert measure.exact(space.plan, network) == MAP * (3 + outer + max(inner + outer, outer + outer))


def test_what_a_left_out_block_needs_is_not_counted() -> None:
    def block(inner: int) -> nn.Module:
        return Made(lambda net, x: x + net.b(F.relu(net.a(x))), a=conv(8, inner), b=conv(inner, 8))

    network = Made(
        lambda net, x: net.fc(pooled(net.blocks(net.stem(x)))),
        **{"stem": conv(3, 8), "blocks": nn.Sequential(*(block(inner) for inner in (8, 8, 8))), "fc": nn.Linear(8, 5)},
    )
    space, measure = read(network)
    inner = [name for name in space.widths if name != "stem"]
    (stage,) = space.depths
    for depth in (1, 2, 3):
        for widths in itertools.product((2, 4, 8), repeat=3):
            chosen = space.choose({"stem": 4, **dict(zip(inner, widths, strict=True))}, {stage: depth})
            # What nn.Sequential was called with, which is the first block's input too; each block's input; and an
            # activation with what it is of, both ends of the second convolution, or that and the sum.
            most = max(4 * (place > 0) + 4 + max(2 * width, width + 4, 8) for place, width in enumerate(widths[:depth]))
            assert measure.exact(space.plan, chosen) == MAP * (3 + most)


def test_sums_that_are_never_the_largest_are_left_out() -> None:
    plan = plan_of("resnet20")
    width, stage = next(iter(plan.widths)), next(iter(plan.stages))
    sums = [
        LiveSum(100, {width: 2}),
        LiveSum(100, {width: 1}),  # less than the first wherever that is
        LiveSum(100, {width: 3}, stage, 2),  # not there in every network, where it is the largest
        LiveSum(110, {width: 2}, stage, 1),
        LiveSum(109, {width: 2}, stage, 2),  # there only where the one before is
        LiveSum(99, {}),  # less than the first at its least
    ]
    kept = that_may_be_largest(sums, plan, dict.fromkeys(plan.widths, 1), {stage: 1})
    assert kept == [sums[0], sums[2], sums[3]]


def test_a_limit_has_no_lower_end() -> None:
    limit = Budget(1000, 0.05, peak_measure([LiveSum(1, {})]))
    assert (limit.low, limit.high) == (0, 1050)
    assert [limit.holds(cost) for cost in (0, 1, 1000, 1050, 1051)] == [True] * 4 + [False]
    assert limit.at_most().high == 1000 and limit.narrower(0.01).low == 0


def test_the_expected_peak_is_the_largest_expectation_and_drives_what_that_depends_on() -> None:
    chain = nn.Sequential(conv(3, 8, 1), nn.ReLU(), conv(8, 12, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    space, measure = read(nn.Sequential(*chain, nn.Linear(12, 5)))
    expected = ExpectedCost(measure.tables(space.plan, space.widths, space.depths), space.widths, space.depths)
    for a, b in itertools.product(range(4), range(4)):
        certain = {"0": torch.eye(4)[a], "2": torch.eye(4)[b]}
        chosen = space.choose({name: space.widths[name][place] for name, place in (("0", a), ("2", b))}, {})
        assert expected(certain, {}).item() == measure.exact(space.plan, chosen)
    first, second = torch.full((4,), 0.25, requires_grad=True), torch.full((4,), 0.25, requires_grad=True)
    found = expected({"0": first, "2": second}, {})
    assert found.item() == MAP * max(3 + 5 + 5, 3 + 5 + 7.5)
    found.backward()
    assert first.grad is not None and second.grad is not None
    assert first.grad.tolist() == [MAP * a for a in (2, 4, 6, 8)]
    assert second.grad.tolist() == [MAP * b for b in (3, 6, 9, 12)]
