"""What a search comes to where the networks' true scores are known, or are nothing but noise."""

from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.cost.measures import FLOPS, PARAMS
from tas.search.conclusion import Conclusion, Scored, conclude, even
from tas.search.elasticities import Terms
from tas.search.probing import Probe, random_networks
from tas.space.best import choices_of, count_of
from tas.space.controls import shallow_network
from tas.space.milp import Array
from tas.space.space import SearchSpace
from tests.space.test_derivation import every_architecture
from tests.spaces import paper_space, unpruned


@cache
def little_space(depths: bool = True) -> tuple[SearchSpace, list[Architecture], Array]:
    """Of a ResNet-20 in which few widths are searched, and perhaps the depths; all its networks, and their FLOPs."""
    whole = paper_space(unpruned("resnet20"), residuals="tied")
    widths = {name: (channels,) for name, channels in whole.full.widths.items() if name in whole.widths}
    widths |= {"conv1": (8, 16), "stage1.1.conv1": (4, 8, 16), "stage2.0.conv2": (16, 24, 32)}
    widths |= {"stage2.2.conv1": (12, 32), "stage3.1.conv1": (24, 48, 64)}
    space = replace(whole, widths=widths, depths=dict.fromkeys(whole.depths, (1, 2, 3) if depths else (3,)))
    every = list(every_architecture(space))
    return space, every, np.array([FLOPS.exact(space.plan, one) for one in every], dtype=np.float64)


def truth_of(space: SearchSpace, seed: int) -> Array:
    """Elasticities that differ much, so that rules are worse than what they speak for."""
    return np.random.default_rng(seed).uniform(0.02, 0.6, len(Terms(space).names))


def probes_of(space: SearchSpace, truth: Array, noise: float, count: int, seed: int) -> list[Probe]:
    """What a supernet would say whose losses are log-linear but for noise."""
    terms, rng = Terms(space), np.random.default_rng(seed)
    found = []
    for one in random_networks(space, count, torch.Generator().manual_seed(seed)):
        loss = 1.5 - float(terms.of(one) @ truth) + noise * rng.standard_normal()
        found.append(Probe(loss, 1.0 - 0.2 * loss, dict(one.widths), dict(one.depths)))
    return found


def scored_by(truth: Array, noise: float, count: int = 80, seed: int = 0, depths: bool = True) -> Scored:
    """Of a supernet whose word is the truth but for noise."""
    space = little_space(depths)[0]
    return Scored(space, probes_of(space, truth, noise, count, seed), trust=1.0)


def budget_at(share: float, tolerance: float = 0.05) -> Budget:
    space = little_space()[0]
    return Budget(share * FLOPS.exact(space.plan, space.full), tolerance)


@pytest.mark.parametrize("share", [0.45, 0.6, 0.75])
@pytest.mark.parametrize("seed", range(4))
def test_from_nearly_exact_losses_comes_the_best_of_all_networks_inside(seed: int, share: float) -> None:
    space, every, costs = little_space()
    truth, budget = truth_of(space, seed), budget_at(share)
    found = conclude(scored_by(truth, 1e-4, seed=seed), [budget], 4, seed)
    scores = Terms(space).matrix(every) @ truth
    inside = (budget.low <= costs) & (costs <= budget.target)
    assert 0 < inside.sum() < len(every) / 2
    assert budget.holds(FLOPS.exact(space.plan, found.architecture))
    assert Terms(space).of(found.architecture) @ truth == pytest.approx(scores[inside].max(), abs=1e-3)
    assert found.standing is not None
    assert found.standing.probes == len(found.probes) == 80
    assert found.standing.r_squared > 0.999 and found.standing.tau > 0.97
    elasticities = np.array([found.standing.elasticities[name][0] for name in Terms(space).names])
    np.testing.assert_allclose(elasticities, truth, atol=2e-3)


@pytest.mark.parametrize("seed", range(6))
def test_the_predicted_gains_over_the_controls_are_the_true_ones_within_their_errors(seed: int) -> None:
    space, terms = little_space()[0], Terms(little_space()[0])
    truth, budget = truth_of(space, seed), budget_at(0.55)
    scored = scored_by(truth, 0.02, seed=seed)
    top = scored.best([budget])
    found, controls = conclude(scored, [budget], 5, seed), scored.controls(top, [budget])
    assert found.standing is not None and set(controls) == {"uniform", "shallow", "balanced"}
    gains = found.standing.predicted_gain
    assert gains.keys() == controls.keys()
    for name, (gain, error) in gains.items():
        true = float((terms.of(top) - terms.of(controls[name])) @ truth)
        assert gain == pytest.approx(scored.loss(controls[name]) - scored.loss(top))
        assert abs(gain - true) <= 4 * error + 1e-12
    assert all(0 < error < 0.1 for name, (_, error) in gains.items() if controls[name] != top)
    # The best is handed over unless the best control is as good as far as the error tells.
    strongest = min(gains, key=lambda name: gains[name][0])
    as_good = gains[strongest][0] <= gains[strongest][1]
    if all_hold([budget], space.plan, controls[strongest]):
        assert found.standing.control == (strongest if as_good else None)
        assert found.architecture == (controls[strongest] if as_good else top)


@pytest.mark.parametrize("seed", [0, 4, 27])
def test_a_network_far_better_than_the_controls_is_handed_over_itself(seed: int) -> None:
    scored, budget = scored_by(truth_of(little_space()[0], seed), 0.01, seed=seed), budget_at(0.55)
    found = conclude(scored, [budget], 5, 0)
    assert found.standing is not None and found.standing.control is None
    assert found.architecture == scored.best([budget])
    assert all(gain > 5 * error for gain, error in found.standing.predicted_gain.values())


def handed_over(scored: Scored, budget: Budget) -> str | None:
    """The name of the control that is handed over, if one is, and that it is that control."""
    found = conclude(scored, [budget], 5, 0)
    assert found.standing is not None
    name, top = found.standing.control, scored.best([budget])
    if name is None:
        assert found.architecture == top
    else:
        assert found.architecture == scored.controls(top, [budget])[name]
        gain, error = found.standing.predicted_gain[name]
        assert gain <= error
        rules, plan = scored.controls(top, [budget]), scored.space.plan
        inside = [rule for rule, control in rules.items() if budget.holds(budget.cost(plan, control))]
        assert gain == min(found.standing.predicted_gain[rule][0] for rule in inside)
    return name


def test_of_losses_that_are_all_noise_a_control_is_handed_over_more_often_than_not() -> None:
    space, budget = little_space(depths=False)[0], budget_at(0.6)
    nothing = np.zeros(len(Terms(space).names))
    named = [handed_over(scored_by(nothing, 0.1, 60, seed, depths=False), budget) for seed in range(12)]
    assert sum(name is not None for name in named) >= 6


def test_where_every_layer_is_worth_the_same_balanced_or_one_alike_is_handed_over() -> None:
    space, budget = little_space(depths=False)[0], budget_at(0.6)
    alike = 0.15 * Terms(space).layers
    for seed in range(8):
        scored = scored_by(alike, 0.02, 60, seed, depths=False)
        assert handed_over(scored, budget) in ("balanced", "uniform")
        gain, error = conclude(scored, [budget], 5, 0).standing.predicted_gain["balanced"]
        assert gain <= error


def test_of_losses_that_are_all_the_same_a_control_is_handed_over() -> None:
    space, budget = little_space()[0], budget_at(0.6)
    scored = scored_by(np.zeros(len(Terms(space).names)), 0.0)
    assert handed_over(scored, budget) is not None
    assert scored.check() == (0.0, 0.0)
    assert scored.accuracy(1.5) == pytest.approx(0.7)


def test_noise_explains_nothing_of_networks_that_were_not_in_the_fit() -> None:
    space = little_space()[0]
    for seed in range(4):
        r_squared, tau = scored_by(np.zeros(len(Terms(space).names)), 0.1, 100, seed).check()
        assert r_squared < 0.1 and abs(tau) < 0.3


def test_the_explained_share_of_the_variance_is_that_which_is_not_noise() -> None:
    space = little_space()[0]
    truth = np.full(len(Terms(space).names), 0.3)
    signal = np.var(Terms(space).matrix(random_networks(space, 2000, torch.Generator().manual_seed(0))) @ truth)
    found = [scored_by(truth, float(np.sqrt(signal)), 250, seed).check() for seed in range(3)]
    assert np.mean([r_squared for r_squared, _ in found]) == pytest.approx(0.5, abs=0.12)
    assert all(0.3 < tau < 0.7 for _, tau in found)


def test_probabilities_are_the_shares_of_draws_that_choose_each_candidate() -> None:
    space = little_space()[0]
    scored, budget, draws = scored_by(truth_of(space, 0), 0.2, 60), budget_at(0.6), 40
    found = conclude(scored, [budget], draws, 3)
    chosen = scored.best_by_draws([budget], draws, 3)
    assert len(chosen) == draws and len({str(one) for one in chosen}) > 2
    assert all(FLOPS.exact(space.plan, one) <= budget.target for one in chosen)
    assert found.widths.keys() == space.widths.keys() and found.depths.keys() == space.depths.keys()
    for name, candidates in choices_of(space).items():
        shares = {**found.widths, **found.depths}[name]
        assert float(shares.sum()) == pytest.approx(1)
        counts = [sum(count_of(one, name) == count for one in chosen) for count in candidates]
        assert (shares * draws).tolist() == pytest.approx(counts)
        likeliest = candidates[max(range(len(counts)), key=lambda place: counts[place])]
        assert count_of(found.likeliest, name) == likeliest


def flat(found: Conclusion) -> dict[str, object]:
    """All that it says, bit by bit."""
    tensors = {name: shares.tolist() for name, shares in {**found.widths, **found.depths}.items()}
    assert found.standing is not None
    return {"standing": asdict(found.standing), "network": found.architecture, "likeliest": found.likeliest} | tensors


def test_the_same_question_has_the_same_answer_to_the_last_bit() -> None:
    space = little_space()[0]
    truth, budget = truth_of(space, 1), budget_at(0.6)
    first, again, other = [conclude(scored_by(truth, 0.2, 60), [budget], 30, seed) for seed in (5, 5, 6)]
    assert flat(first) == flat(again)
    assert first.probes == again.probes
    # Another seed draws other scores; what is handed over does not depend on it.
    assert first.architecture == other.architecture and first.standing == other.standing
    assert flat(first) != flat(other)


def test_where_no_network_is_inside_the_nearest_is_found_and_no_control() -> None:
    space, _, costs = little_space()
    scored = scored_by(truth_of(space, 0), 0.05)
    found = conclude(scored, [budget_at(0.01)], 10, 0)
    assert FLOPS.exact(space.plan, found.architecture) == costs.min()
    assert found.standing is not None and found.standing.control is None
    for name, candidates in choices_of(space).items():
        assert float({**found.widths, **found.depths}[name][candidates.index(count_of(found.architecture, name))]) == 1


def test_under_two_budgets_the_best_inside_both_is_found() -> None:
    space, every, costs = little_space()
    truth, params = truth_of(space, 2), np.array([PARAMS.exact(space.plan, one) for one in every])
    budgets = [budget_at(0.6), Budget(0.7 * params.max(), 0.05, PARAMS)]
    inside = np.all([(b.low <= c) & (c <= b.target) for b, c in zip(budgets, (costs, params))], axis=0)
    assert inside.any()
    found = conclude(scored_by(truth, 1e-4), budgets, 2, 0)
    assert all_hold([one.at_most() for one in budgets], space.plan, found.architecture)
    highest = (Terms(space).matrix(every) @ truth)[inside].max()
    assert Terms(space).of(found.architecture) @ truth == pytest.approx(highest, abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(st.floats(-5, 10), st.floats(-5, 10), st.sampled_from([0.0, 0.05, 0.5]))
def test_a_lower_loss_goes_with_no_lower_accuracy(first: float, second: float, noise: float) -> None:
    scored = scored_by(truth_of(little_space()[0], 0), noise)
    better, worse = sorted([first, second])
    assert 0 <= scored.accuracy(worse) <= scored.accuracy(better) <= 1


def test_the_accuracy_of_a_loss_lies_on_the_line_of_those_that_were_measured() -> None:
    scored = scored_by(truth_of(little_space()[0], 0), 0.05)
    for probe in scored.probes:
        assert scored.accuracy(probe.loss) == pytest.approx(probe.accuracy, abs=1e-9)
    assert scored.accuracy(-10.0) == 1 and scored.accuracy(100.0) == 0


def test_the_loss_of_a_network_that_was_not_asked_is_predicted() -> None:
    space, every, _ = little_space()
    truth = truth_of(space, 0)
    scored = scored_by(truth, 1e-3)
    for one in every[::100]:
        assert scored.loss(one) == pytest.approx(1.5 - Terms(space).of(one) @ truth, abs=5e-3)


def test_the_controls_cost_what_the_network_does() -> None:
    space = paper_space(unpruned("resnet20"), residuals="tied")
    scored = Scored(space, probes_of(space, truth_of(space, 0), 0.05, 60, 0))
    budget = Budget(0.5 * FLOPS.exact(space.plan, space.full), 0.02)
    network = scored.best([budget])
    controls = scored.controls(network, [budget])
    assert set(controls) == {"uniform", "shallow", "balanced"}
    cost = FLOPS.exact(space.plan, network)
    for name in ("uniform", "shallow"):
        assert FLOPS.exact(space.plan, controls[name]) == pytest.approx(cost, rel=0.05)
    assert budget.holds(FLOPS.exact(space.plan, controls["balanced"]))
    assert controls["uniform"].depths == controls["balanced"].depths == space.full.depths
    assert set(controls["shallow"].depths.values()) == {2}


def test_a_shallow_network_that_misses_the_budget_has_other_widths_inside_it() -> None:
    space = paper_space(unpruned("resnet20"), residuals="tied")
    scored = Scored(space, probes_of(space, truth_of(space, 0), 0.05, 60, 0))
    budget = Budget(0.25 * FLOPS.exact(space.plan, space.full), 0.02)
    at = replace(budget, target=float(FLOPS.exact(space.plan, scored.best([budget]))))
    assert not budget.holds(FLOPS.exact(space.plan, shallow_network(space, [at])[0]))
    shallow = scored.controls(scored.best([budget]), [budget])["shallow"]
    assert set(shallow.depths.values()) == {2} and budget.holds(FLOPS.exact(space.plan, shallow))


def test_a_space_of_widths_alone_has_no_shallow_control() -> None:
    space = little_space(depths=False)[0]
    scored = scored_by(truth_of(space, 0), 0.05, depths=False)
    assert set(scored.controls(space.full, [budget_at(0.6)])) == {"uniform", "balanced"}


def test_a_control_inside_is_handed_over_though_a_stronger_one_is_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    scored, budget = scored_by(truth_of(little_space()[0], 0), 0.05), budget_at(0.6)
    top = scored.best([budget])
    rules = {"uniform": scored.space.full, "balanced": top}
    monkeypatch.setattr(scored, "controls", lambda network, budgets: rules)
    found = conclude(scored, [budget], 5, 0)
    assert found.standing is not None and found.standing.control == "balanced"


def test_a_control_that_is_another_one_is_not_named_twice() -> None:
    scored, budget = scored_by(truth_of(little_space()[0], 0), 0.05), budget_at(1.0)
    controls = scored.controls(scored.space.full, [budget])
    assert len({str(network) for network in controls.values()}) == len(controls)


def test_one_who_knows_nothing_finds_all_candidates_alike() -> None:
    space = little_space()[0]
    for name, shares in even(space.widths).items():
        assert shares.tolist() == pytest.approx([1 / len(space.widths[name])] * len(space.widths[name]))
