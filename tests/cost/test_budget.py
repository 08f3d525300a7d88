"""The budget's band, and the loss that leads into it."""

import math

import pytest
import torch

from tas.cost.budget import Budget, cost_loss
from tas.cost.expected import ExpectedCost
from tas.cost.measures import FLOPS
from tas.cutting.build import build
from tas.reading.readers import read_plan
from tas.space.derivation import argmax
from tests.spaces import paper_space, unpruned


def test_the_band_lies_around_the_target_and_holds_its_ends():
    budget = Budget(target=1000, tolerance=0.25)
    assert (budget.low, budget.high) == (750, 1250)
    assert [budget.holds(cost) for cost in (749, 750, 1000, 1250, 1251)] == [False, True, True, True, False]


def test_a_band_of_no_width_holds_the_target_alone():
    budget = Budget(target=1000, tolerance=0)
    assert [budget.holds(cost) for cost in (999, 1000, 1001)] == [False, True, False]


@pytest.mark.parametrize(("derived", "sign"), [(1251, 1), (1250, 0), (1000, 0), (750, 0), (749, -1)])
def test_the_derived_network_s_cost_alone_decides_the_sign(derived, sign):
    for expected in (10.0, 1000.0, 1e9):
        loss = cost_loss(torch.tensor(expected, dtype=torch.float64), torch.tensor(derived), Budget(1000, 0.25))
        assert loss.item() == pytest.approx(sign * math.log(expected))


@pytest.mark.parametrize(("derived", "slope"), [(1251, 1 / 800), (1000, 0), (749, -1 / 800)])
def test_the_slope_is_that_of_the_logarithm_and_nothing_inside(derived, slope):
    expected = torch.tensor(800.0, dtype=torch.float64, requires_grad=True)
    cost_loss(expected, torch.tensor(derived), Budget(1000, 0.25)).backward()
    assert expected.grad.item() == pytest.approx(slope)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("share_of_derived", "direction"), [(0.5, -1), (2.0, 1), (1.0, 0)])
def test_a_step_down_the_loss_moves_the_expected_cost_toward_the_band(share_of_derived, direction, seed):
    full = unpruned("resnet20", 10)
    plan, space = read_plan(build(full), (3, 32, 32)), paper_space(full)
    tables = FLOPS.tables(plan, space.widths, space.depths)
    generator = torch.Generator().manual_seed(seed)

    def random_logits(candidates):
        return {
            name: torch.randn(len(values), generator=generator, dtype=torch.float64, requires_grad=True)
            for name, values in candidates.items()
        }

    widths, depths = random_logits(space.widths), random_logits(space.depths)

    def probabilities():
        return tuple({name: logits.softmax(0) for name, logits in part.items()} for part in (widths, depths))

    before = ExpectedCost(tables, space.widths, space.depths)(*probabilities())
    derived = FLOPS.exact(plan, argmax(space, *probabilities()))
    cost_loss(before, torch.tensor(derived), Budget(share_of_derived * derived)).backward()
    with torch.no_grad():
        for logits in (*widths.values(), *depths.values()):
            logits -= 0.1 * logits.grad
    change = (ExpectedCost(tables, space.widths, space.depths)(*probabilities()) - before).item()
    assert math.copysign(1, change) == direction if direction else change == 0
