"""The best networks inside budgets by scores, by comparison with all networks of small spaces."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

import tas.space.best
import tas.space.elimination
from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.cost.measures import MEASURES, PARAMS
from tas.space.best import best, best_of_many, choices_of, chosen, count_of
from tas.space.milp import Array, Milp, Scores
from tas.space.space import SearchSpace
from tests.space.test_elimination import (
    allowed_of,
    budget_at,
    inside_of,
    places_of,
    random_scores,
    rising_scores,
    row_totals,
    totals,
    whole_space,
)
from tests.spaces import paper_space, unpruned

MEASURES_OF = [("flops",), ("params",), ("flops", "params")]


def score_of(space: SearchSpace, scores: Scores, network: Architecture) -> float:
    return float(totals(dict(scores), places_of(space, [network]))[0])


def budgets_around(seed: int, measures: Sequence[str], quantile: float, tolerance: float) -> list[Budget]:
    """Around what one network costs, which is so far up in the order of the costs."""
    _, every, costs = whole_space(seed)
    place = np.argsort(costs[measures[0]], kind="stable")[int(quantile * (len(every) - 1))]
    return [Budget(float(costs[measure][place]), tolerance, MEASURES[measure]) for measure in measures]


def log_linear_scores(space: SearchSpace, rows: int, seed: int = 0) -> list[dict[str, Array]]:
    """As elasticities give them that are 0.3 on average."""
    rng = np.random.default_rng(seed)
    return [
        {name: abs(rng.normal(0.3, 0.1)) * np.log(np.array(c) / c[-1]) for name, c in choices_of(space).items()}
        for _ in range(rows)
    ]


@pytest.mark.parametrize("measures", MEASURES_OF)
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_best_of_all_networks_inside(seed: int, measures: Sequence[str]) -> None:
    space, every, costs = whole_space(seed)
    places = places_of(space, every)
    for quantile, rising in ((0.1, True), (0.5, True), (0.5, False), (0.9, True)):
        budgets = budgets_around(seed, measures, quantile, 0.04)
        makes = rising_scores if rising else random_scores
        scores = {name: part[0] for name, part in makes(space, seed + 10, 1).items()}
        highest = totals(scores, places)[allowed_of(budgets, costs)].max()
        found = best(space, scores, budgets)
        assert all_hold(budgets, space.plan, found)
        assert score_of(space, scores, found) == pytest.approx(highest, abs=1e-5)


def test_scores_are_told_apart_however_small_they_are() -> None:
    space, _, _ = whole_space(1)
    budgets = budgets_around(1, ("flops",), 0.5, 0.04)
    scores = {name: part[0] for name, part in rising_scores(space, 11, 1).items()}
    tiny = {name: 1e-9 * part for name, part in scores.items()}
    assert best(space, tiny, budgets) == best(space, scores, budgets)


@pytest.mark.parametrize("seed", range(3))
def test_a_band_around_one_network_alone_is_met_exactly(seed: int) -> None:
    space, every, costs = whole_space(seed)
    for quantile in (0.2, 0.6):
        budgets = budgets_around(seed, ("flops",), quantile, 0.0)
        scores = random_scores(space, seed)
        highest = totals(scores, places_of(space, every))[costs["flops"] == budgets[0].target].max()
        found = best(space, scores, budgets)
        assert budgets[0].cost(space.plan, found) == budgets[0].target
        assert score_of(space, scores, found) == pytest.approx(highest, abs=1e-5)


def test_the_network_of_the_highest_score_is_taken_where_it_is_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    space, _, _ = whole_space(0)
    scores = random_scores(space, 0)
    highest = chosen(space, {name: int(part.argmax()) for name, part in scores.items()})
    exact = Budget(float(budget_at(space, 1.0).cost(space.plan, highest)), 0.0)
    assert best(space, scores, [Budget(exact.target / 1.2, 0.1)]) != highest
    monkeypatch.setattr(tas.space.best, "Milp", None)  # no programme is needed
    assert best(space, scores, [exact]) == highest


@pytest.mark.parametrize("seed", range(3))
def test_a_target_is_exceeded_only_where_no_network_inside_costs_less(seed: int) -> None:
    space, _, costs = whole_space(seed)
    own = np.unique(costs["flops"])
    place = int((own[1:] / own[:-1]).argmax())  # below the widest gap
    below, above = float(own[place]), float(own[place + 1])
    target = (below + above) / 2
    scores = {name: np.arange(float(len(candidates))) for name, candidates in choices_of(space).items()}
    for tolerance, cost in ((1 - below / target, below), (0.5 - 0.5 * below / target, above)):
        budget = Budget(target, tolerance, excess=above / target - 1)
        assert budget.cost(space.plan, best(space, scores, [budget])) == cost


@pytest.mark.parametrize("measure", ["flops", "params"])
@pytest.mark.parametrize("seed", range(3))
def test_where_no_network_is_inside_it_is_the_nearest_to_the_target(seed: int, measure: str) -> None:
    space, _, costs = whole_space(seed)
    own = np.unique(costs[measure])
    gap = int(np.diff(own).argmax())
    middle = float(0.4 * own[gap] + 0.6 * own[gap + 1])
    for target in (0.5 * own[0], middle, 2.0 * own[-1]):
        budget = Budget(float(target), 1e-9, MEASURES[measure])
        assert not inside_of([budget], costs).any()
        found = best(space, random_scores(space, seed), [budget])
        assert abs(budget.cost(space.plan, found) - target) == pytest.approx(np.abs(own - target).min(), rel=1e-6)


def test_of_two_budgets_that_exclude_one_another_neither_is_left_far() -> None:
    space, _, costs = whole_space(0)
    budgets = [Budget(float(costs["flops"].max()), 0.01), Budget(float(costs["params"].min()), 0.01, PARAMS)]
    assert not inside_of(budgets, costs).any()
    found = best(space, random_scores(space, 0), budgets)
    apart = sum(abs(costs[b.measure.name] / b.target - 1) for b in budgets)
    own = sum(abs(b.cost(space.plan, found) / b.target - 1) for b in budgets)
    assert own == pytest.approx(apart.min(), rel=1e-6)


@pytest.mark.parametrize("name", ["resnet20", "torchvision/mobilenet_v2"])
@pytest.mark.parametrize("measure", ["flops", "params"])
def test_in_a_large_space_the_best_is_inside_and_no_single_change_that_stays_inside_is_better(
    name: str, measure: str
) -> None:
    space = paper_space(unpruned(name), residuals="tied")
    budget = budget_at(space, 0.5, 0.02, measure)
    (scores,) = log_linear_scores(space, 1)
    found = best(space, scores, [budget])
    assert budget.at_most().holds(budget.cost(space.plan, found))
    own, tried = {name: count_of(found, name) for name in choices_of(space)}, 0
    for choice, candidates in choices_of(space).items():
        for count in candidates:
            changed = own | {choice: count}
            other = space.choose({n: changed[n] for n in space.widths}, {n: changed[n] for n in space.depths})
            if budget.at_most().holds(budget.cost(space.plan, other)):
                tried += 1
                assert score_of(space, scores, other) <= score_of(space, scores, found) + 1e-5
    assert tried > len(own)


NEARLY = 0.015
"""Of the range of all networks' scores. With scores of three seeds for each of the two networks, 72 in all, what was
handed out lay 0.7 per cent of it below the best, at most."""


@pytest.mark.parametrize(("name", "residuals"), [("torchvision/mobilenet_v2", "free"), ("resnet20", "tied")])
def test_of_many_scores_each_gets_a_network_inside_that_is_nearly_its_best(name: str, residuals: str) -> None:
    space = paper_space(unpruned(name), residuals=residuals)
    budgets, scores = [budget_at(space, 0.5, 0.05)], log_linear_scores(space, 24)
    found = best_of_many(space, scores, budgets)
    assert len(found) == len(scores)
    assert all(0.9 * budgets[0].low <= budgets[0].cost(space.plan, one) <= budgets[0].target for one in found)
    assert found == best_of_many(space, scores, budgets)
    assert len({str(one) for one in found}) > 4
    assert_each_has_its_own(space, scores, found)
    for row in range(6):
        spread = sum(np.ptp(part) for part in scores[row].values())
        highest = score_of(space, scores[row], best(space, scores[row], budgets))
        gap = (highest - score_of(space, scores[row], found[row])) / spread
        assert -1e-6 <= gap <= NEARLY


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["resnet20", "torchvision/mobilenet_v2"])
def test_to_a_network_for_one_score_alone_nothing_more_can_be_added(name: str, seed: int) -> None:
    space = paper_space(unpruned(name), residuals="tied")
    budget, (scores,) = budget_at(space, 0.45, 0.2), log_linear_scores(space, 1, seed)
    (found,) = best_of_many(space, [scores], [budget])
    for choice, candidates in choices_of(space).items():
        for count in candidates[candidates.index(count_of(found, choice)) + 1 :]:
            more = {name: count_of(found, name) for name in choices_of(space)} | {choice: count}
            larger = space.choose({n: more[n] for n in space.widths}, {n: more[n] for n in space.depths})
            assert budget.cost(space.plan, larger) > budget.target


def assert_each_has_its_own(space: SearchSpace, scores: Sequence[Scores], found: Sequence[Architecture]) -> None:
    """No row's network is better by another row's scores than that row's own."""
    places = places_of(space, found)
    rows = {name: np.stack([one[name] for one in scores]) for name in choices_of(space)}
    own = row_totals(rows, places)
    for row, one in enumerate(scores):
        assert totals(dict(one), places).max() <= own[row] + 1e-12


@pytest.mark.parametrize("measures", MEASURES_OF)
@pytest.mark.parametrize("seed", range(3))
def test_of_many_scores_in_a_small_space_each_gets_a_network_that_costs_no_more(
    seed: int, measures: Sequence[str]
) -> None:
    space, every, costs = whole_space(seed)
    budgets = budgets_around(seed, measures, 0.5, 0.1)
    rows = rising_scores(space, seed, 30)
    scores = [{name: part[row] for name, part in rows.items()} for row in range(30)]
    found = best_of_many(space, scores, budgets)
    assert len(found) == 30
    most = [replace(budget, tolerance=1.0, excess=0.0) for budget in budgets]
    assert all(all_hold(most, space.plan, one) for one in found)
    assert found == best_of_many(space, scores, budgets)
    assert_each_has_its_own(space, scores, found)
    best_possible = [totals(one, places_of(space, every))[inside_of(most, costs)].max() for one in scores]
    assert (row_totals(rows, places_of(space, found)) <= np.array(best_possible) + 1e-9).all()


def test_of_many_scores_none_gets_a_network_where_all_cost_more() -> None:
    space, _, costs = whole_space(0)
    too_little = Budget(0.9 * float(costs["flops"].min()), 0.02)
    assert best_of_many(space, [random_scores(space, 0), random_scores(space, 1)], [too_little]) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_elimination_cannot_do_goes_by_the_programme(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    space, every, costs = whole_space(seed)
    budgets = budgets_around(seed, ("flops",), 0.5, 0.04)
    rows = rising_scores(space, seed, 40)
    scores = [{name: part[row] for name, part in rows.items()} for row in range(40)]
    monkeypatch.setattr(tas.space.elimination, "LARGEST", 2)
    solved: list[Scores] = []
    solve = Milp.best

    def spy(milp: Milp, wanted: Scores, margin: float = 0.0, gap: float = 0.0) -> Architecture | None:
        solved.append(wanted)
        assert milp.space is space
        return solve(milp, wanted, margin, gap)

    monkeypatch.setattr(Milp, "best", spy)
    found = best(space, scores[0], budgets)
    assert len(solved) == 1
    among = totals(scores[0], places_of(space, every))[allowed_of(budgets, costs)]
    assert score_of(space, scores[0], found) == pytest.approx(among.max(), abs=1e-5)
    many = best_of_many(space, scores, budgets)
    assert len(solved) == 1 + 5, "one in eight"
    assert len(many) == len(scores)
    most = [replace(budget, tolerance=1.0, excess=0.0) for budget in budgets]
    assert all(all_hold(most, space.plan, one) for one in many)
    assert_each_has_its_own(space, scores, many)
    # Those for which a programme was solved have their best, but for the share of it by which it may stop short.
    for one, network in zip(scores[:5], many):
        highest = totals(one, places_of(space, every))[inside_of(most, costs)].max()
        assert highest - score_of(space, one, network) <= 0.031 * abs(highest) + 1e-5
