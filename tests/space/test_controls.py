"""The rules that ask nothing: balanced, uniform and shallow networks inside a space."""

import math
from itertools import pairwise

import numpy as np
import pytest

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES
from tas.space.controls import balanced_network, layers_of_widths, narrowing_steps, shallow_network, uniform_network
from tas.space.space import SearchSpace
from tests.space.test_elimination import allowed_of, budget_at, whole_space
from tests.spaces import paper_space, unpruned

NETWORKS = ["resnet20", "torchvision/mobilenet_v2"]


def space_of(name: str, **options: object) -> SearchSpace:
    return paper_space(unpruned(name), **{"residuals": "tied"} | options)


def log_widths(space: SearchSpace, network: Architecture) -> float:
    """The sum over the layers that the network keeps."""
    layers = layers_of_widths(space.plan, network.depths)
    return sum(count * math.log(network.widths[name]) for name, count in layers.items())


@pytest.mark.parametrize("measures", [("flops",), ("params",), ("flops", "params")])
@pytest.mark.parametrize("seed", range(5))
def test_balanced_has_the_largest_sum_of_log_widths_inside(seed: int, measures: tuple[str, ...]) -> None:
    space, every, costs = whole_space(seed)
    depths = [dict(space.full.depths), {"stage1": 2, "stage2": 1, "stage3": 3}][seed % 2]
    at_depths = np.array([dict(one.depths) == depths for one in every])
    narrower = 0
    for quantile in (0.2, 0.6, 0.9):
        place = np.argsort(np.where(at_depths, costs[measures[0]], np.inf))[int(quantile * (at_depths.sum() - 1))]
        budgets = [Budget(float(costs[measure][place]), 0.005, MEASURES[measure]) for measure in measures]
        inside = at_depths & allowed_of(
            budgets, {name: np.where(at_depths, own, np.inf) for name, own in costs.items()}
        )
        narrower += inside.sum() < at_depths.sum()
        found = balanced_network(space, budgets, depths)
        assert found.depths == depths
        assert all(budget.holds(budget.cost(space.plan, found)) for budget in budgets)
        largest = max(log_widths(space, one) for one, is_inside in zip(every, inside) if is_inside)
        assert log_widths(space, found) == pytest.approx(largest, abs=1e-5)
    assert narrower


def test_balanced_is_the_nearest_where_nothing_is_inside_at_its_depths() -> None:
    space, every, costs = whole_space(0)
    at_depths = np.array([one.depths == space.full.depths for one in every])
    budget = Budget(0.5 * costs["flops"][at_depths].min(), 0.01)
    found = balanced_network(space, [budget], space.full.depths)
    assert budget.cost(space.plan, found) == costs["flops"][at_depths].min()


@pytest.mark.parametrize("measure", ["flops", "params"])
@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
@pytest.mark.parametrize("name", NETWORKS)
def test_balanced_is_inside_and_as_deep_as_it_is_told(name: str, share: float, measure: str) -> None:
    space, budget = space_of(name), budget_at(space_of(name), share, 0.02, measure)
    found = balanced_network(space, [budget], space.full.depths)
    assert found.depths == space.full.depths
    assert budget.holds(budget.cost(space.plan, found))
    uniform = uniform_network(space, [budget], space.full.depths)[0]
    if budget.cost(space.plan, uniform) <= budget.target:
        assert log_widths(space, found) >= log_widths(space, uniform) - 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_balanced_leaves_full_what_it_leaves_out(name: str) -> None:
    space = space_of(name)
    shallow = dict.fromkeys(space.full.depths, 1)
    budget = Budget(0.5 * budget_at(space, 1.0).cost(space.plan, space.choose(space.full.widths, shallow)), 0.02)
    found = balanced_network(space, [budget], shallow)
    gone = [width for width in space.widths if found.left_out_with(width) and width not in space.plan.tied.values()]
    assert gone
    assert all(found.widths[width] == space.full.widths[width] for width in gone)
    assert budget.holds(budget.cost(space.plan, found))


def shares_of(space: SearchSpace, network: Architecture) -> tuple[float, float]:
    """From which share of the full widths up, and to which, all its widths are the nearest candidates."""
    low, high = 0.0, 1.0
    for name, candidates in space.widths.items():
        place, full = candidates.index(network.widths[name]), candidates[-1]
        if place:
            low = max(low, (candidates[place - 1] + candidates[place]) / 2 / full)
        if place + 1 < len(candidates):
            high = min(high, (candidates[place] + candidates[place + 1]) / 2 / full)
    return low, high


@pytest.mark.parametrize("options", [{}, {"round_to": 8}, {"ratios": (0.25, 0.5, 1.0)}])
@pytest.mark.parametrize("share", [0.2, 0.37, 0.5, 0.8])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_width_of_uniform_is_the_candidate_nearest_to_one_share(
    name: str, share: float, options: dict[str, object]
) -> None:
    space = space_of(name, **options)
    found, nearest = uniform_network(space, [budget_at(space, share)], space.full.depths)
    # One share rounds to all widths, but for those that step at the very share and come later in forward order.
    low, high = shares_of(space, found)
    assert low <= high + 1e-9
    assert found.depths == space.full.depths
    assert nearest.cost == budget_at(space, share).cost(space.plan, found)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_other_share_brings_uniform_nearer_to_the_target(name: str) -> None:
    space, budget = space_of(name), budget_at(space_of(name), 0.43)
    places, costs = {n: len(c) - 1 for n, c in space.widths.items()}, []
    for step in [*narrowing_steps(space), None]:
        widths = {n: space.widths[n][place] for n, place in places.items()}
        costs.append(budget.cost(space.plan, space.choose(widths, space.full.depths)))
        if step is not None:
            places[step] -= 1
    assert all(place == 0 for place in places.values())
    assert all(more >= less for more, less in pairwise(costs))
    _, found = uniform_network(space, [budget], space.full.depths)
    assert abs(found.cost - budget.target) == min(abs(cost - budget.target) for cost in costs)
    assert found.around == (
        max(cost for cost in costs if cost < budget.target),
        min(cost for cost in costs if cost >= budget.target),
    )


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("resnet20", {"stage1": 2, "stage2": 2, "stage3": 2}),
        ("resnet56", {"stage1": 7, "stage2": 7, "stage3": 7}),  # of 1 3 5 7 9, six or more
        (
            "torchvision/mobilenet_v2",  # of 2, 3, 4, 3 and 3 blocks; the four can be cut to 1 or 3
            {"features.2-3": 2, "features.4-6": 2, "features.7-10": 3, "features.11-13": 2, "features.14-16": 2},
        ),
    ],
)
def test_shallow_keeps_two_thirds_of_every_stage(name: str, depths: dict[str, int]) -> None:
    space = space_of(name)
    budget = budget_at(space, 0.4)
    found, nearest = shallow_network(space, [budget])
    assert found.depths == depths
    assert (found, nearest) == uniform_network(space, [budget], depths)
    low, high = shares_of(space, found)
    assert low <= high + 1e-9


@pytest.mark.parametrize("share", [0.75, 0.95, 1.0])
@pytest.mark.parametrize("name", [*NETWORKS, "resnet56"])
def test_near_the_unpruned_network_shallow_keeps_as_many_blocks_more_of_every_stage_as_the_target_asks_for(
    name: str, share: float
) -> None:
    space = space_of(name)
    budget = budget_at(space, share, 0.02)

    def keeping(more: int) -> dict[str, int]:
        """Two thirds of every stage and so many blocks more, the next larger candidate."""
        wanted = {s: min(-(-2 * full // 3) + more, full) for s, full in space.full.depths.items()}
        return {s: min(c for c in space.depths[s] if c >= least) for s, least in wanted.items()}

    def enough(depths: dict[str, int]) -> bool:
        return budget.cost(space.plan, space.choose(space.full.widths, depths)) >= budget.low

    found, nearest = shallow_network(space, [budget])
    assert found.depths == keeping(next(more for more in range(10) if enough(keeping(more))))
    assert nearest.cost >= 0.9 * budget.target
    if share == 1.0:
        assert found == space.full


@pytest.mark.parametrize("name", NETWORKS)
def test_two_thirds_at_full_width_that_are_inside_are_enough(name: str) -> None:
    space = space_of(name)
    depths = dict(shallow_network(space, [budget_at(space, 0.3)])[0].depths)
    cost = budget_at(space, 1.0).cost(space.plan, space.choose(space.full.widths, depths))
    for share, enough in ((0.985, True), (1.015, True), (1.03, False)):
        found, _ = shallow_network(space, [Budget(share * cost, 0.02)])
        assert (found.depths == depths) == enough


def test_near_the_unpruned_network_shallow_keeps_more_than_two_thirds() -> None:
    space = space_of("resnet20")
    assert dict(shallow_network(space, [budget_at(space, 0.95)])[0].depths) == dict(space.full.depths)
    assert set(shallow_network(space, [budget_at(space, 0.5)])[0].depths.values()) == {2}


@pytest.mark.parametrize("share", [0.3, 0.95])
@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_shallow_keeps_as_many_blocks_as_it_is_told(name: str, blocks: int, share: float) -> None:
    space = space_of(name)
    found, _ = shallow_network(space, [budget_at(space, share)], blocks)
    assert found.depths == {stage: min(full, blocks) for stage, full in space.full.depths.items()}


def test_a_network_without_stages_has_a_shallow_one_that_is_the_uniform_one() -> None:
    space = space_of("torchvision/squeezenet1_1")
    assert not space.full.depths
    budget = budget_at(space, 0.5)
    assert shallow_network(space, [budget]) == uniform_network(space, [budget], {})
