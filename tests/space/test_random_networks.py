import pytest
import torch

from tas.cost.budget import Budget
from tas.cost.measures import FLOPS, PARAMS
from tas.space.random_networks import costs_of, random_architecture
from tests.spaces import paper_space, unpruned


# The middle share is rare among all networks of the space; the last is out of its reach, and its smallest is nearest.
@pytest.mark.parametrize(("share", "met"), [(0.5, True), (0.05, True), (0.001, False)])
def test_a_drawn_network_is_inside_the_budget_and_follows_from_the_generator(share: float, met: bool) -> None:
    space = paper_space(unpruned("resnet20", 10))
    budget = Budget(share * FLOPS.exact(space.plan, space.full), 0.02)
    drawn = [random_architecture(space, [budget], torch.Generator().manual_seed(seed)) for seed in (0, 1, 0)]
    assert drawn[0] == drawn[2]
    if met:
        assert all(budget.holds(FLOPS.exact(space.plan, architecture)) for architecture in drawn)
        assert drawn[0] != drawn[1]
    else:
        assert drawn[0].depths == drawn[1].depths == space.smallest().depths


def test_a_network_drawn_under_two_budgets_is_inside_both() -> None:
    space = paper_space(unpruned("resnet20", 10))
    budgets = [
        Budget(0.5 * FLOPS.exact(space.plan, space.full), 0.05),
        Budget(0.4 * PARAMS.exact(space.plan, space.full), 0.05, PARAMS),
    ]
    drawn = random_architecture(space, budgets, torch.Generator().manual_seed(0))
    assert all(budget.holds(budget.cost(space.plan, drawn)) for budget in budgets)


def test_the_costs_of_many_networks_are_those_of_each() -> None:
    space = paper_space(unpruned("resnet20", 10))
    generator = torch.Generator().manual_seed(0)
    choices = {**space.widths, **space.depths}
    drawn = {name: torch.randint(len(values), (20,), generator=generator) for name, values in choices.items()}
    costs = costs_of(FLOPS.tables(space.plan, space.widths, space.depths), drawn)
    for number, cost in enumerate(costs.tolist()):
        one = {name: values[int(drawn[name][number])] for name, values in choices.items()}
        architecture = space.choose({n: one[n] for n in space.widths}, {n: one[n] for n in space.depths})
        assert cost == FLOPS.exact(space.plan, architecture)
