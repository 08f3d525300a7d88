"""The log-linear model of how good networks are: what it recovers, how sure it says it is, and its formulas."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.stats import multivariate_normal

from tas.architecture import Architecture
from tas.search.elasticities import Mixed, Posterior, Terms, blocks_of_widths, fit_elasticities
from tas.search.probing import random_networks
from tas.space.milp import Array
from tas.space.space import SearchSpace
from tests.spaces import paper_space, plan_of, unpruned


def space_of(**options: object) -> SearchSpace:
    """ResNet-20 with widths that its shortcuts tie, unless the options say otherwise."""
    return paper_space(unpruned("resnet20", 10), **{"residuals": "tied"} | options)


def networks_of(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    return random_networks(space, count, torch.Generator().manual_seed(seed))


def simulated(terms: Terms, truth: Array, noise: float, count: int, seed: int) -> tuple[Array, Array]:
    """The terms of random networks, and scores that these elasticities and noise give them."""
    matrix = terms.matrix(networks_of(terms.space, count, seed))
    return matrix, -2.0 + matrix @ truth + noise * np.random.default_rng(seed).standard_normal(count)


def fitted(terms: Terms, truth: Array, noise: float, count: int, seed: int = 0) -> Posterior:
    """What is known of elasticities from so many simulated networks."""
    matrix, scores = simulated(terms, truth, noise, count, seed)
    return fit_elasticities(matrix, terms.kinds, scores)


def errors_of(posterior: Posterior) -> Array:
    return np.sqrt(np.diag(posterior.covariance))


def least_squares(matrix: Array, scores: Array) -> Array:
    design = np.column_stack([np.ones(len(matrix)), matrix])
    return np.linalg.lstsq(design, scores, rcond=None)[0][1:]


def random_effects(
    rows: int, sizes: Sequence[int], spreads: Sequence[float], seed: int
) -> tuple[Array, list[Array], Array]:
    """X, Z_k and y of a mixed model with noise of 1, and effects of these spreads."""
    rng = np.random.default_rng(seed)
    random = [rng.standard_normal((rows, size)) for size in sizes]
    fixed = np.column_stack([np.ones(rows), *(part.sum(1) for part in random)])
    y = fixed @ rng.standard_normal(fixed.shape[1]) + rng.standard_normal(rows)
    for part, size, spread in zip(random, sizes, spreads):
        y = y + part @ (spread * rng.standard_normal(size))
    return fixed, random, y


@pytest.mark.parametrize("seed", range(3))
def test_scores_that_are_log_linear_give_back_their_elasticities(seed: int) -> None:
    terms = Terms(space_of())
    truth = np.random.default_rng(seed).uniform(0.05, 0.6, len(terms.names))
    posterior = fitted(terms, truth, 1e-3, 120, seed)
    np.testing.assert_allclose(posterior.mean, truth, atol=2e-3)
    errors = errors_of(posterior)
    assert (errors < 1e-3).all()
    assert (np.abs(posterior.mean - truth) < 4 * errors).all()
    assert posterior.level == pytest.approx(-2.0, abs=2e-3)
    assert posterior.noise == pytest.approx(1e-3, rel=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_much_noise_draws_equal_elasticities_to_their_common_value(seed: int) -> None:
    terms = Terms(space_of())
    truth = np.where(terms.kinds == 0, 0.3, 0.15)
    matrix, scores = simulated(terms, truth, 0.5, 80, seed)
    posterior, plain = fit_elasticities(matrix, terms.kinds, scores), least_squares(matrix, scores)
    for kind in (0, 1):
        own = terms.kinds == kind
        assert posterior.mean[own].std() < 0.7 * plain[own].std()
        assert np.abs(posterior.mean[own] - truth[own]).mean() < np.abs(plain[own] - truth[own]).mean()
        # What they are drawn to lies among them.
        assert posterior.mean[own].min() <= posterior.common[kind] <= posterior.mean[own].max()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spreads", [(0.05, 3.0), (1.0, 0.2), (2.0, 2.0)])
def test_at_given_spreads_the_effects_are_those_of_a_bayesian_regression(
    spreads: tuple[float, float], seed: int
) -> None:
    sizes = (6, 4)
    x, parts, y = random_effects(40, sizes, spreads, seed)
    effects, covariance, noise = Mixed(x, parts, y).effects(np.array(spreads))
    # V = Z D Z' + I in units of the noise; generalised least squares, then the best linear unbiased prediction.
    z, d = np.concatenate(parts, 1), np.diag(np.repeat(np.square(spreads), sizes))
    inverse = np.linalg.inv(z @ d @ z.T + np.eye(len(y)))
    fixed_covariance = np.linalg.inv(x.T @ inverse @ x)
    b = fixed_covariance @ x.T @ inverse @ y
    u = d @ z.T @ inverse @ (y - x @ b)
    variance = (y - x @ b) @ inverse @ (y - x @ b) / (len(y) - x.shape[1])
    np.testing.assert_allclose(effects, [*b, *u], rtol=1e-5, atol=1e-7)
    assert noise**2 == pytest.approx(variance, rel=1e-5)
    fixed = x.shape[1]
    np.testing.assert_allclose(covariance[:fixed, :fixed], variance * fixed_covariance, rtol=1e-5, atol=1e-8)
    # What the prediction of an effect misses: D - D Z' P Z D, with P = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1.
    projection = inverse - inverse @ x @ fixed_covariance @ x.T @ inverse
    missed = variance * (d - d @ z.T @ projection @ z @ d)
    np.testing.assert_allclose(covariance[fixed:, fixed:], missed, rtol=1e-5, atol=1e-8)


def test_surprise_is_minus_the_likelihood_of_what_the_fixed_effects_leave() -> None:
    x, parts, y = random_effects(30, (5, 4), (0.5, 1.5), seed=0)
    model, contrasts = Mixed(x, parts, y), null_space(x.T)
    left = contrasts.T @ y

    def literal(spreads: Array) -> float:
        """Of the contrasts that no fixed effect moves, at the noise that makes them likeliest."""
        v = np.eye(len(y)) + sum(s**2 * part @ part.T for s, part in zip(spreads, parts))
        seen = contrasts.T @ v @ contrasts
        variance = left @ np.linalg.solve(seen, left) / len(left)
        return -float(multivariate_normal.logpdf(left, cov=variance * seen))

    spreads = [np.array(pair) for pair in ((0.1, 0.1), (0.5, 1.5), (1.5, 0.5), (10.0, 0.01))]
    ours, theirs = [np.array([f(pair) for pair in spreads]) for f in (lambda s: model.surprise(np.log(s)), literal)]
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), rtol=1e-5)


@pytest.mark.parametrize("spreads", [(0.3, 2.0), (1.0, 0.1)])
def test_the_likeliest_spreads_are_near_those_that_the_data_were_made_with(spreads: tuple[float, float]) -> None:
    x, parts, y = random_effects(400, (80, 60), spreads, seed=1)
    model = Mixed(x, parts, y)
    found = model.likeliest_spreads()
    np.testing.assert_allclose(np.log(found), np.log(spreads), atol=0.35)
    least = model.surprise(np.log(found))
    for place in (0, 1):
        for step in (-0.1, 0.1):
            assert model.surprise(np.log(found) + step * np.eye(2)[place]) > least


def test_two_standard_errors_cover_nearly_all_elasticities_and_not_all() -> None:
    terms, covered = Terms(space_of()), []
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        truth = np.where(terms.kinds == 0, 0.3, 0.15) + 0.1 * rng.standard_normal(len(terms.names))
        posterior = fitted(terms, truth, 0.1, 60, seed)
        covered.append(np.abs(posterior.mean - truth) <= 2 * errors_of(posterior))
    assert 0.85 <= np.mean(covered) < 1


def test_the_standard_error_of_a_difference_covers_it() -> None:
    terms = Terms(space_of())
    first, second = terms.matrix(networks_of(terms.space, 2, seed=77))
    covered = []
    for seed in range(60):
        truth = 0.3 + 0.1 * np.random.default_rng(1000 + seed).standard_normal(len(terms.names))
        posterior = fitted(terms, truth, 0.1, 60, seed)
        gain, error = posterior.difference(first, second)
        assert posterior.difference(second, first) == (-gain, pytest.approx(error))
        covered.append(abs(gain - (first - second) @ truth) <= 2 * error)
    assert 0.85 <= np.mean(covered) <= 1


@pytest.mark.parametrize("options", [{}, {"residuals": "free"}, {"search": "width"}, {"search": "depth"}])
def test_the_unpruned_network_has_no_terms_and_every_narrower_or_shallower_one_has_negative_ones(
    options: dict[str, object],
) -> None:
    space = space_of(**options)
    terms = Terms(space)
    assert terms.names
    assert not terms.of(space.full).any()
    assert (terms.of(space.smallest()) <= 0).all() and terms.of(space.smallest()).any()


def test_terms_are_the_logarithms_of_the_shares_that_are_kept() -> None:
    space = space_of(ratios=(0.5, 1.0))
    terms = Terms(space)
    narrowed = space.choose({**space.full.widths, "stage2.1.conv1": 16}, {**space.full.depths, "stage3": 1})
    found = dict(zip(terms.names, terms.of(narrowed)))
    expected = {"stage2.1.conv1": np.log(1 / 2), "stage3 3 to 2": np.log(2 / 3), "stage3 2 to 1": np.log(1 / 2)}
    assert found == pytest.approx(dict.fromkeys(terms.names, 0.0) | expected)


def test_a_depth_between_two_candidates_has_a_part_of_the_step() -> None:
    space = paper_space(unpruned("resnet56", 10), search="depth")
    terms = Terms(space)
    assert space.depths["stage1"] == (1, 3, 5, 7, 9)
    found = dict(zip(terms.names, terms.of(space.choose(space.full.widths, {**space.full.depths, "stage1": 4}))))
    steps = {"stage1 9 to 7": np.log(7 / 9), "stage1 7 to 5": np.log(5 / 7), "stage1 5 to 3": np.log(4 / 5)}
    assert found == pytest.approx(dict.fromkeys(terms.names, 0.0) | steps)


@pytest.mark.parametrize("residuals", ["tied", "free"])
def test_the_widths_of_a_block_that_is_left_out_say_nothing(residuals: str) -> None:
    space = space_of(residuals=residuals)
    terms, homes = Terms(space), blocks_of_widths(space.plan)
    checked = 0
    for network, other in zip(networks_of(space, 30, seed=0), networks_of(space, 30, seed=1)):
        gone = {n for n, places in homes.items() if places and all(network.depths[s] <= b for s, b in places)}
        widths = {n: (other if n in gone else network).widths[n] for n in space.widths}
        changed = space.choose(widths, network.depths)
        np.testing.assert_array_equal(terms.of(changed), terms.of(network))
        checked += changed != network
        there = next(n for n in space.widths if n not in gone and network.widths[n] < space.full.widths[n])
        wider = space.choose({**network.widths, there: space.full.widths[there]}, network.depths)
        assert (terms.of(wider) != terms.of(network)).sum() == 1
    assert checked > 10


def test_a_width_stands_in_its_own_block_and_one_that_shortcuts_tie_is_always_there() -> None:
    tied, free = (blocks_of_widths(space_of(residuals=kind).plan) for kind in ("tied", "free"))
    assert tied["conv1"] == free["conv1"] == ()
    assert tied["stage2.1.conv1"] == free["stage2.1.conv1"] == (("stage2", 1),)
    assert free["stage2.2.conv2"] == (("stage2", 2),)
    assert set(tied["stage2.0.conv2"]) == {("stage2", 0), ("stage2", 1), ("stage2", 2)}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(["tied", "free"]))
def test_candidates_add_up_to_the_score_where_what_is_left_out_is_full(data: st.DataObject, residuals: str) -> None:
    space = space_of(residuals=residuals, ratios=(0.25, 0.6, 1.0))
    terms, homes = Terms(space), blocks_of_widths(space.plan)
    depths = {name: data.draw(st.sampled_from(candidates)) for name, candidates in space.depths.items()}
    widths = {
        name: data.draw(st.sampled_from(candidates))
        if not homes[name] or any(depths[stage] > block for stage, block in homes[name])
        else candidates[-1]
        for name, candidates in space.widths.items()
    }
    seed = data.draw(st.integers(0, 2**32))
    elasticities = np.random.default_rng(seed).normal(0.2, 0.3, len(terms.names))
    scores, chosen = terms.scores(elasticities), {**widths, **depths}
    total = sum(scores[n][c.index(chosen[n])] for n, c in {**space.widths, **space.depths}.items())
    expected = terms.of(space.choose(widths, depths)) @ np.maximum(elasticities, 0)
    assert total == pytest.approx(expected, abs=1e-12)


def test_no_candidate_adds_more_than_the_full_one() -> None:
    space = space_of()
    terms = Terms(space)
    scores = terms.scores(np.random.default_rng(0).normal(0.0, 1.0, len(terms.names)))
    assert scores.keys() == {*space.widths, *space.depths}
    for part in scores.values():
        assert part[-1] == 0 and (np.diff(part) >= 0).all()
    assert any(not part.any() for part in scores.values())  # of a negative elasticity
    assert any(part.any() for part in scores.values())


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({"search": "width"}, {0}),
        ({"search": "depth"}, {1}),
        ({"search": "width", "ratios": (1.0,)}, set()),
    ],
)
def test_widths_alone_and_depths_alone_and_nothing_at_all_are_fitted(
    options: dict[str, object], kinds: set[int]
) -> None:
    space = space_of(**options)
    terms = Terms(space)
    assert set(terms.kinds.tolist()) == kinds
    truth = np.full(len(terms.names), 0.2)
    posterior = fitted(terms, truth, 0.01, 60, 0)
    np.testing.assert_allclose(posterior.mean, truth, atol=0.03)
    assert posterior.covariance.shape == (len(truth), len(truth))
    assert posterior.level == pytest.approx(-2.0, abs=0.03)
    assert posterior.common == tuple(pytest.approx(0.2 if kind in kinds else 0.0, abs=0.03) for kind in (0, 1))
    assert posterior.draws(7, seed=0).shape == (7, len(truth))
    assert all(not part.any() for name, part in terms.scores(truth).items() if len(part) == 1)
    assert terms.scores(truth).keys() == {*space.widths, *space.depths}


def test_one_width_and_one_step_alone_are_fitted() -> None:
    full = space_of().full
    widths = {name: (channels,) for name, channels in full.widths.items()} | {"conv1": (4, 8, 16)}
    depths = {name: (blocks,) for name, blocks in full.depths.items()} | {"stage1": (2, 3)}
    terms = Terms(SearchSpace(plan_of("resnet20"), full, widths, depths))
    assert terms.names == ["conv1", "stage1 3 to 2"]
    posterior = fitted(terms, np.array([0.4, 0.2]), 0.001, 60, 0)
    np.testing.assert_allclose(posterior.mean, [0.4, 0.2], atol=0.005)
    assert (errors_of(posterior) < 0.005).all()


def test_what_no_network_says_anything_of_stays_wide_open() -> None:
    terms = Terms(space_of())
    matrix, scores = simulated(terms, np.full(len(terms.names), 0.3), 0.01, 80, 0)
    scores = scores - matrix[:, terms.kinds == 1].sum(1) * 0.3
    matrix[:, terms.kinds == 1] = 0.0
    errors = errors_of(fit_elasticities(matrix, terms.kinds, scores))
    assert errors[terms.kinds == 1].min() > 100 * errors[terms.kinds == 0].max()


def test_draws_have_the_mean_and_the_covariance_and_follow_from_the_seed() -> None:
    terms = Terms(space_of(search="depth"))
    posterior = fitted(terms, np.full(6, 0.2), 0.1, 50, 0)
    draws = posterior.draws(100_000, seed=3)
    errors = errors_of(posterior)
    # Five standard errors of the mean of so many draws; of covariances, a per cent or two of the scale.
    assert (np.abs(draws.mean(0) - posterior.mean) < 5 * errors / np.sqrt(len(draws))).all()
    scale = np.outer(errors, errors)
    np.testing.assert_allclose(np.cov(draws.T) / scale, posterior.covariance / scale, atol=0.025)
    np.testing.assert_array_equal(draws, posterior.draws(100_000, seed=3))
    assert not np.array_equal(draws[:10], posterior.draws(10, seed=4))
