"""The architecture that a search hands over: the most probable inside the budget, by comparison with all of them."""

import itertools
import math
import random

import pytest
import torch

from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.space.derivation import argmax, derive, reachable
from tas.space.space import SearchSpace
from tests.spaces import paper_space, plan_of, unpruned


def small_space(seed, depths=(1, 2, 3)):
    """A few widths of ResNet-20 with two or three candidates, the depths of its stages, and nothing else to choose."""
    rng = random.Random(seed)
    full = unpruned("resnet20", 10)
    widths = {name: (rng.randint(width // 2, width),) for name, width in full.widths.items()}
    for name, count in zip(rng.sample(list(widths), 4), (2, 2, 2, 3)):
        widths[name] = tuple(sorted(rng.sample(range(1, full.widths[name] + 1), count)))
    return SearchSpace(plan_of(full.network), full, widths, dict.fromkeys(full.depths, depths))


def random_probabilities(space, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            name: (scale * torch.randn(len(values), generator=generator)).softmax(0)
            for name, values in candidates.items()
        }
        for candidates in (space.widths, space.depths)
    ]


def every_architecture(space):
    names = [*space.widths, *space.depths]
    for row in itertools.product(*space.widths.values(), *space.depths.values()):
        chosen = dict(zip(names, row))
        yield space.choose({name: chosen[name] for name in space.widths}, {name: chosen[name] for name in space.depths})


def log_probability(architecture, space, widths, depths):
    """Of every choice together; a probability of zero gives minus infinity."""
    total = 0.0
    for chosen, candidates, probabilities in (
        (architecture.widths, space.widths, widths),
        (architecture.depths, space.depths, depths),
    ):
        for name, value in chosen.items():
            p = float(probabilities[name][candidates[name].index(value)])
            total += math.log(p) if p > 0 else -math.inf
    return total


def test_argmax_takes_the_most_probable_candidate_of_everything():
    space = small_space(seed=0)
    widths, depths = random_probabilities(space, seed=0)
    best = max(every_architecture(space), key=lambda a: log_probability(a, space, widths, depths))
    assert argmax(space, widths, depths) == best


@pytest.mark.parametrize("seed", range(4))
def test_the_argmax_is_handed_over_when_it_is_inside(seed):
    space, plan = paper_space(unpruned("resnet20", 10)), plan_of("resnet20")
    widths, depths = random_probabilities(space, seed)
    likeliest = argmax(space, widths, depths)
    # The band's end lies exactly on its cost: inside is inside.
    for budget in (Budget(FLOPS.exact(plan, likeliest), 0.0), Budget(FLOPS.exact(plan, likeliest) / 1.25, 0.25)):
        assert budget.holds(FLOPS.exact(plan, likeliest))
        assert derive(space, widths, depths, budget) == likeliest


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1.0, 20.0])  # of the logits: all candidates probable, most nearly impossible
def test_otherwise_it_is_the_most_probable_of_all_inside_the_band(scale, seed):
    space, plan = small_space(seed), plan_of("resnet20")
    widths, depths = random_probabilities(space, seed, scale)
    every = [(FLOPS.exact(plan, a), log_probability(a, space, widths, depths)) for a in every_architecture(space)]
    likeliest = FLOPS.exact(plan, argmax(space, widths, depths))
    order = sorted(cost for cost, _ in every)
    checked = 0
    for quantile in (0.05, 0.3, 0.7, 0.95):
        budget = Budget(float(order[int(quantile * (len(order) - 1))]), 0.02)
        if budget.holds(likeliest):
            continue
        found = derive(space, widths, depths, budget)
        assert budget.holds(FLOPS.exact(plan, found))
        best = max(score for cost, score in every if budget.holds(cost))
        assert log_probability(found, space, widths, depths) == pytest.approx(best, abs=1e-5)
        checked += 1
    assert checked >= 2  # one band cannot hold what another, apart from it, holds


@pytest.mark.parametrize("seed", range(4))
def test_a_band_that_holds_one_cost_alone_is_met_exactly(seed):
    space, plan = small_space(seed), plan_of("resnet20")
    widths, depths = random_probabilities(space, seed)
    every = list(every_architecture(space))
    wanted = random.Random(seed).choice(every)
    budget = Budget(FLOPS.exact(plan, wanted), 0.0)
    found = derive(space, widths, depths, budget)
    assert FLOPS.exact(plan, found) == FLOPS.exact(plan, wanted)
    best = max(log_probability(a, space, widths, depths) for a in every if budget.holds(FLOPS.exact(plan, a)))
    assert log_probability(found, space, widths, depths) == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.2, 0.45, 0.5, 0.8])
def test_where_no_depths_fit_the_nearest_in_cost_is_handed_over(share, seed):
    space, plan = paper_space(unpruned("resnet56", 10), search="depth"), plan_of("resnet56")
    widths, depths = random_probabilities(space, seed)
    target = (share + 0.01 * seed) * FLOPS.exact(plan, space.full)
    budget = Budget(target, 1e-6)
    costs = [FLOPS.exact(plan, a) for a in every_architecture(space)]
    assert not any(budget.holds(cost) for cost in costs)
    found = derive(space, widths, depths, budget)
    assert abs(FLOPS.exact(plan, found) - target) == min(abs(cost - target) for cost in costs)


@pytest.mark.parametrize("seed", range(4))
def test_where_no_widths_fit_the_nearest_in_cost_is_handed_over(seed):
    space, plan = small_space(seed), plan_of("resnet20")
    widths, depths = random_probabilities(space, seed)
    costs = sorted({FLOPS.exact(plan, a) for a in every_architecture(space)})
    # Above the middle of the widest gap between two costs, so that the upper one is the nearest.
    low, high = max(itertools.pairwise(costs), key=lambda pair: pair[1] - pair[0])
    budget = Budget(low + 0.6 * (high - low), 1e-9)
    assert FLOPS.exact(plan, derive(space, widths, depths, budget)) == high


@pytest.mark.parametrize("seed", range(4))
def test_what_can_be_reached_next_to_a_target_is_what_a_scan_finds(seed):
    space, plan = small_space(seed), plan_of("resnet20")
    costs = sorted({FLOPS.exact(plan, a) for a in every_architecture(space)})
    low, high = max(itertools.pairwise(costs), key=lambda pair: pair[1] - pair[0])
    assert reachable(space, Budget(0.3 * low + 0.7 * high)) == (low, high)
    assert reachable(space, Budget(0.9 * costs[0])) == (costs[0],)
    assert reachable(space, Budget(1.1 * costs[-1])) == (costs[-1],)


def test_a_target_below_or_above_the_whole_space_gives_its_cheapest_or_dearest_network():
    space, plan = small_space(seed=1), plan_of("resnet20")
    widths, depths = random_probabilities(space, seed=1)
    costs = [FLOPS.exact(plan, a) for a in every_architecture(space)]
    below, above = Budget(0.5 * min(costs), 0.05), Budget(2 * max(costs), 0.05)
    assert FLOPS.exact(plan, derive(space, widths, depths, below)) == min(costs)
    assert FLOPS.exact(plan, derive(space, widths, depths, above)) == max(costs)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_probabilities_that_underflowed_do_not_keep_a_search_out_of_its_budget(share):
    # A search that became certain of the widest and deepest of everything: all else has probability zero.
    space, plan = paper_space(unpruned("resnet20", 10)), plan_of("resnet20")
    widths, depths = (
        {name: (500.0 * torch.arange(len(values))).softmax(0) for name, values in candidates.items()}
        for candidates in (space.widths, space.depths)
    )
    assert all((p[:-1] == 0).all() for p in (*widths.values(), *depths.values()))
    budget = Budget(share * FLOPS.exact(plan, space.full), 0.05)
    assert budget.holds(FLOPS.exact(plan, derive(space, widths, depths, budget)))


@pytest.mark.parametrize("seed", range(4))
def test_as_few_choices_as_possible_fall_on_probabilities_that_underflowed(seed):
    space, plan = small_space(seed), plan_of("resnet20")
    widths, depths = (
        {name: (500.0 * torch.arange(len(values))).softmax(0) for name, values in candidates.items()}
        for candidates in (space.widths, space.depths)
    )
    every = list(every_architecture(space))
    budget = Budget(0.6 * FLOPS.exact(plan, argmax(space, widths, depths)), 0.1)

    def underflowed(a):
        chosen = {**a.widths, **a.depths}
        return sum(chosen[n] != values[-1] for n, values in (*space.widths.items(), *space.depths.items()))

    fewest = min(underflowed(a) for a in every if budget.holds(FLOPS.exact(plan, a)))
    found = derive(space, widths, depths, budget)
    assert budget.holds(FLOPS.exact(plan, found))
    assert underflowed(found) == fewest > 0


def test_resnet110_is_derived_and_no_more_probable_candidate_could_be_put_back():
    space, plan = paper_space(unpruned("resnet110", 10)), plan_of("resnet110")
    widths, depths = random_probabilities(space, seed=0)
    budget = Budget(0.48 * FLOPS.exact(plan, space.full), 0.02)
    likeliest = argmax(space, widths, depths)
    assert not budget.holds(FLOPS.exact(plan, likeliest))
    found = derive(space, widths, depths, budget)
    assert budget.holds(FLOPS.exact(plan, found))
    swaps = [(name, value) for name, value in likeliest.widths.items() if found.widths[name] != value]
    assert swaps
    for name, value in swaps:
        more_probable = space.choose({**found.widths, name: value}, found.depths)
        assert not budget.holds(FLOPS.exact(plan, more_probable))
