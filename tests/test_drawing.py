import pytest
import torch

from tas.architecture import Architecture
from tas.budget import Budget
from tas.cost import exact_flops
from tas.drawing import draw_inside
from tests.spaces import paper_space


@pytest.mark.parametrize("share", [0.5, 0.12])  # the second is rare among all networks of the space
def test_a_drawn_network_is_inside_the_budget_and_follows_from_the_generator(share: float) -> None:
    space = paper_space(Architecture.full("resnet20", 10))
    budget = Budget(share * exact_flops(space.plan, space.full), 0.02)
    drawn = [draw_inside(space, budget, torch.Generator().manual_seed(seed)) for seed in (0, 1, 0)]
    assert all(budget.holds(exact_flops(space.plan, architecture)) for architecture in drawn)
    assert drawn[0] == drawn[2] != drawn[1]
