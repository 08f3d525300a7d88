"""Variable elimination: the best networks at a price on their cost, by comparison with all networks of small spaces."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.models.densenet import DenseNet

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.measures import MEASURES
from tas.search.probing import random_networks
from tas.space.best import choices_of, chosen, count_of
from tas.space.elimination import LARGEST, Elimination, Table, cost_tables, elimination_order
from tas.space.milp import Array
from tas.space.of_network import search_space
from tas.space.space import SearchSpace
from tests.small_networks import SMALL
from tests.space.test_derivation import every_architecture, small_space
from tests.spaces import paper_space, unpruned

Places = Mapping[str, NDArray[np.int64]]


def random_scores(space: SearchSpace, seed: int, rows: int | None = None) -> dict[str, Array]:
    """Scores of all candidates, (candidates,), or (rows, candidates)."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.standard_normal(len(candidates) if rows is None else (rows, len(candidates)))
        for name, candidates in choices_of(space).items()
    }


def rising_scores(space: SearchSpace, seed: int, rows: int) -> dict[str, Array]:
    """Scores, (rows, candidates), of which more channels and blocks have higher ones."""
    return {name: np.sort(part, axis=1) for name, part in random_scores(space, seed, rows).items()}


def places_of(space: SearchSpace, networks: Iterable[Architecture]) -> dict[str, NDArray[np.int64]]:
    """Choice -> the index of each network's candidate."""
    networks = list(networks)
    return {
        name: np.array([candidates.index(count_of(one, name)) for one in networks])
        for name, candidates in choices_of(space).items()
    }


def totals(scores: Mapping[str, Array], places: Places) -> Array:
    """What networks score, (networks,), by scores of one row."""
    return sum((scores[name][places[name]] for name in scores), np.zeros(len(next(iter(places.values())))))


def row_totals(scores: Mapping[str, Array], places: Places) -> Array:
    """What the network of every row scores by the scores of that row."""
    rows = np.arange(len(next(iter(places.values()))))
    return sum((scores[name][rows, places[name]] for name in scores), np.zeros(len(rows)))


def networks_at(space: SearchSpace, places: Places) -> list[Architecture]:
    rows = len(next(iter(places.values())))
    return [chosen(space, {name: int(part[row]) for name, part in places.items()}) for row in range(rows)]


def costs_of(space: SearchSpace, networks: Iterable[Architecture], measure: str = "flops") -> Array:
    return np.array([MEASURES[measure].exact(space.plan, one) for one in networks], dtype=np.float64)


def budget_at(space: SearchSpace, share: float, tolerance: float = 0.05, measure: str = "flops") -> Budget:
    return Budget(share * MEASURES[measure].exact(space.plan, space.full), tolerance, MEASURES[measure])


@cache
def whole_space(seed: int) -> tuple[SearchSpace, list[Architecture], dict[str, Array]]:
    """A space that is small enough to list, all its networks, and what they cost by each measure."""
    space = small_space(seed)
    every = list(every_architecture(space))
    return space, every, {measure: costs_of(space, every, measure) for measure in MEASURES}


def inside_of(budgets: Sequence[Budget], costs: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Whether each of the listed networks is inside all budgets."""
    return np.all([(b.low <= costs[b.measure.name]) & (costs[b.measure.name] <= b.high) for b in budgets], axis=0)


def allowed_of(budgets: Sequence[Budget], costs: Mapping[str, Array]) -> NDArray[np.bool_]:
    """Among which of the listed networks the best is looked for: those inside that exceed no target, if there are."""
    inside = inside_of([budget.at_most() for budget in budgets], costs)
    return inside if inside.any() else inside_of(budgets, costs)


@cache
def small_network_space(name: str) -> SearchSpace:
    torch.manual_seed(0)
    return search_space(SMALL[name](), torch.zeros(1, 3, 8, 8), ratios=(0.3, 0.5, 0.8, 1.0))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("seed", range(4))
def test_at_any_price_it_finds_the_best_of_all_networks(seed: int, measure: str) -> None:
    space, every, all_costs = whole_space(seed)
    places, costs, budget = places_of(space, every), all_costs[measure], budget_at(space, 0.5, 0.05, measure)
    elimination, rows = Elimination(space, budget), 6
    scores = random_scores(space, seed, rows)
    prices = np.random.default_rng(seed).uniform(0.0, 20.0, rows) * (np.arange(rows) > 0)
    values, found = elimination.best(scores, prices)
    np.testing.assert_allclose(
        values, row_totals(scores, found) - prices * costs_of(space, networks_at(space, found), measure) / budget.target
    )
    for row in range(rows):
        literal = (
            totals({name: part[row] for name, part in scores.items()}, places) - prices[row] * costs / budget.target
        )
        assert values[row] == pytest.approx(literal.max())


@pytest.mark.parametrize("name", [*SMALL])
def test_any_way_to_join_channels_costs_what_it_does_and_has_its_best_network_found(name: str) -> None:
    space = small_network_space(name)
    every = list(every_architecture(space))
    assert 1 < len(every) <= 4096
    places, scores = places_of(space, every), random_scores(space, 0, 1)
    for measure in MEASURES:
        budget = budget_at(space, 0.4, 0.05, measure)
        elimination, shares = Elimination(space, budget), costs_of(space, every, measure) / budget.target
        np.testing.assert_allclose(elimination.costs(places), shares)
        literal = totals({choice: part[0] for choice, part in scores.items()}, places) - 1.5 * shares
        assert elimination.best(scores, np.array([1.5]))[0][0] == pytest.approx(literal.max())


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("resnet20", 32, {"residuals": "free"}),
        ("resnet20", 32, {"residuals": "tied"}),
        ("torchvision/mobilenet_v2", 64, {}),
        ("torchvision/mobilenet_v2", 64, {"round_to": 8}),
    ],
)
def test_costs_are_those_of_the_measure(name: str, size: int, options: dict[str, object], measure: str) -> None:
    space = paper_space(unpruned(name, size=size), size, **options)
    assert any(stage.ends for stage in space.plan.stages.values()) == (name == "resnet20")
    networks = [space.full, space.smallest(), *random_networks(space, 40, torch.Generator().manual_seed(0))]
    budget = budget_at(space, 0.5, 0.05, measure)
    shares = costs_of(space, networks, measure) / budget.target
    np.testing.assert_allclose(Elimination(space, budget).costs(places_of(space, networks)), shares, rtol=1e-12)


@pytest.mark.parametrize("name", ["resnet20", "torchvision/mobilenet_v2"])
def test_no_change_of_one_choice_and_no_random_network_is_better_than_the_best_of_a_large_space(name: str) -> None:
    space = paper_space(unpruned(name, size=32))
    elimination = Elimination(space, budget_at(space, 0.5))
    scores, price = rising_scores(space, 0, 1), np.array([3.0])
    value, found = elimination.best(scores, price)
    changes = [
        {**found, choice: np.array([place])}
        for choice, candidates in choices_of(space).items()
        for place in range(len(candidates))
    ]
    drawn = places_of(space, random_networks(space, 200, torch.Generator().manual_seed(0)))
    for row in range(200):
        changes.append({choice: part[[row]] for choice, part in drawn.items()})
    reached = [float((row_totals(scores, one) - price * elimination.costs(one))[0]) for one in changes]
    assert max(reached) == pytest.approx(float(value[0]))
    assert np.median(reached) < value[0]


def test_a_table_has_an_axis_only_for_the_choices_on_which_it_depends() -> None:
    space = paper_space(unpruned("resnet20"))
    tables, _ = cost_tables(space, budget_at(space, 0.5))
    for table in tables:
        assert table.values.shape == tuple(len(choices_of(space)[name]) for name in table.names)
        if len(table.names) > 1:
            assert all(np.ptp(table.values, axis=axis).any() for axis in range(table.values.ndim))
    names = {table.names for table in tables}
    assert {("conv1",), ("conv1", "stage1.0.conv1"), ("stage1", "stage1.0.conv2", "stage1.1.conv1")} <= names


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("name", ["resnet20", "torchvision/mobilenet_v2"])
def test_the_networks_within_a_budget_never_cost_more_and_filling_up_adds_to_their_scores(
    name: str, share: float, measure: str
) -> None:
    space = paper_space(unpruned(name, size=32))
    budget = budget_at(space, share, 0.02, measure)
    elimination, scores = Elimination(space, budget), rising_scores(space, 0, 8)
    found, prices = elimination.within(scores)
    assert (costs_of(space, networks_at(space, found), measure) <= budget.high).all()
    assert (prices > 0).all()  # the unpruned network, which has the highest score, is too dear
    filled = elimination.filled_up(scores, found)
    costs = costs_of(space, networks_at(space, filled), measure)
    assert (costs <= budget.high).all()
    assert (row_totals(scores, filled) >= row_totals(scores, found)).all()
    assert (row_totals(scores, filled) > row_totals(scores, found)).any()
    # Nothing more can be added: any better candidate costs too much.
    for choice, candidates in choices_of(space).items():
        for place in range(len(candidates)):
            better = scores[choice][:, place] > row_scores(scores, filled, choice) + 1e-9
            changed = elimination.costs({**filled, choice: np.full(8, place)})
            assert (changed[better] > budget.high / budget.target).all()
    np.testing.assert_array_equal(elimination.inside(filled), [budget.holds(cost) for cost in costs])


def row_scores(scores: Mapping[str, Array], places: Places, choice: str) -> Array:
    """What the chosen candidate of one choice adds in every row."""
    return scores[choice][np.arange(len(places[choice])), places[choice]]


@pytest.mark.parametrize("seed", range(4))
def test_within_a_budget_it_finds_the_best_network_of_its_own_cost_and_the_dearest_such(seed: int) -> None:
    space, every, all_costs = whole_space(seed)
    places, costs = places_of(space, every), all_costs["flops"]
    budget = Budget(float(np.quantile(costs, 0.4)), 0.02)
    scores = rising_scores(space, seed, 1)
    found, prices = Elimination(space, budget).within(scores)
    score = totals({name: part[0] for name, part in scores.items()}, places)
    cost = costs_of(space, networks_at(space, found))[0]
    reached = row_totals(scores, found)[0]
    assert reached == pytest.approx(score[costs <= cost].max())
    # No network scores above the line through it with the slope of the price: it is on the hull.
    assert (score - reached <= prices[0] * (costs - cost) / budget.target + 1e-9).all()
    # One of the line lies above the budget: at a lower price such a network would be chosen.
    line = score - reached >= prices[0] * (costs - cost) / budget.target - 1e-6
    assert costs[line].max() > budget.high


def test_a_network_of_the_highest_score_that_is_cheap_enough_has_no_price() -> None:
    space = small_space(0)
    elimination = Elimination(space, budget_at(space, 2.0))
    scores = random_scores(space, 0, 3)
    found, prices = elimination.within(scores)
    assert not prices.any()
    for name, part in scores.items():
        np.testing.assert_array_equal(found[name], part.argmax(1))


@pytest.mark.parametrize("rising", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_no_candidate_of_the_best_network_inside_is_taken_out(seed: int, rising: bool) -> None:
    space, every, all_costs = whole_space(seed)
    places, costs = places_of(space, every), all_costs["flops"]
    scores = {name: part[0] for name, part in (rising_scores if rising else random_scores)(space, seed, 1).items()}
    score, smaller = totals(scores, places), 0
    for quantile in (0.1, 0.4, 0.7):
        budget = Budget(float(np.quantile(costs, quantile)), 0.1)
        inside = (budget.low <= costs) & (costs <= budget.high)
        reduced = Elimination(space, budget).candidates_that_may_win(scores)
        if reduced is None:
            continue
        best = np.flatnonzero(inside & (score >= score[inside].max() - 1e-12))
        left = choices_of(reduced)
        for place in best:
            assert all(count_of(every[place], name) in candidates for name, candidates in left.items())
        for name, candidates in choices_of(space).items():
            assert set(left[name]) <= set(candidates) and list(left[name]) == sorted(left[name])
        smaller += sum(map(len, left.values())) < sum(map(len, choices_of(space).values()))
    assert smaller >= 1


def test_where_no_network_is_inside_no_candidate_is_judged() -> None:
    space = small_space(0)
    scores = {name: part[0] for name, part in rising_scores(space, 0, 1).items()}
    for share in (0.01, 5.0):
        assert Elimination(space, budget_at(space, share)).candidates_that_may_win(scores) is None


def complete_graph(names: Sequence[str], size: int) -> list[Table]:
    """Every two choices stand in a table."""
    return [Table((a, b), np.zeros((size, size))) for place, a in enumerate(names) for b in names[place + 1 :]]


def test_choices_that_all_stand_with_one_another_have_no_order_unless_all_their_candidates_make_a_small_table() -> None:
    names = [f"width{number}" for number in range(6)]
    few, many = math.floor(LARGEST ** (1 / 6)), math.floor(LARGEST ** (1 / 6)) + 1
    assert elimination_order(dict.fromkeys(names, many), complete_graph(names, many)) is None
    order = elimination_order(dict.fromkeys(names, few), complete_graph(names, few))
    assert order is not None and sorted(order) == names


def test_a_chain_of_any_length_has_an_order() -> None:
    names = [f"width{number}" for number in random.Random(0).sample(range(200), 200)]
    tables = [Table((a, b), np.zeros((100, 100))) for a, b in pairwise(names)]
    order = elimination_order(dict.fromkeys(names, 100), tables)
    assert order is not None and sorted(order) == sorted(names)


def test_a_network_that_concatenates_all_its_layers_has_no_order() -> None:
    space = search_space(DenseNet(8, (12, 12), 16, num_classes=5), torch.zeros(1, 3, 32, 32))
    assert Elimination(space, budget_at(space, 0.5)).order is None
