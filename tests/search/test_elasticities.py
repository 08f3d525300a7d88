"""The log-linear model of how good networks are: what it recovers, how sure it says it is, and its formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import null_space
from scipy.stats import multivariate_normal

from tas.architecture import Architecture
from tas.search.elasticities import SPREADS, Mixed, Posterior, Terms, blocks_of_widths, fit_elasticities
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


def fitted(terms: Terms, truth: Array, noise: float, count: int, seed: int = 0, trust: float = 1.0) -> Posterior:
    """What is known of elasticities from so many simulated networks, whose scores are the truth but for the noise."""
    matrix, scores = simulated(terms, truth, noise, count, seed)
    return fit_elasticities(matrix, terms.layers, scores, trust)


def errors_of(posterior: Posterior) -> Array:
    return np.sqrt(np.diag(posterior.covariance))


def least_squares(matrix: Array, scores: Array) -> Array:
    design = np.column_stack([np.ones(len(matrix)), matrix])
    return np.linalg.lstsq(design, scores, rcond=None)[0][1:]


def random_effects(rows: int, size: int, spread: float, seed: int) -> tuple[Array, Array, Array]:
    """X, Z and y of a mixed model with noise of 1, and effects of this spread."""
    rng = np.random.default_rng(seed)
    random = rng.standard_normal((rows, size))
    fixed = np.column_stack([np.ones(rows), random.sum(1)])
    y = fixed @ rng.standard_normal(2) + rng.standard_normal(rows) + random @ (spread * rng.standard_normal(size))
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
def test_much_noise_draws_elasticities_that_are_alike_for_each_layer_to_their_common_value(seed: int) -> None:
    terms = Terms(space_of())
    truth = 0.2 * terms.layers
    matrix, scores = simulated(terms, truth, 0.5, 80, seed)
    posterior = fit_elasticities(matrix, terms.layers, scores, trust=1.0)
    plain = least_squares(matrix, scores)
    assert (posterior.mean / terms.layers).std() < 0.5 * (plain / terms.layers).std()
    assert np.abs(posterior.mean - truth).mean() < 0.7 * np.abs(plain - truth).mean()
    # What they are drawn to lies among them.
    assert (posterior.mean / terms.layers).min() <= posterior.common <= (posterior.mean / terms.layers).max()


@pytest.mark.parametrize("trust", [0.0, 0.3, 0.5, 1.0])
def test_of_a_deviation_from_the_common_elasticity_so_much_is_taken_as_is_trusted(trust: float) -> None:
    terms = Terms(space_of())
    truth = np.random.default_rng(0).uniform(0.05, 0.6, len(terms.names)) * terms.layers
    all_of_it, part = fitted(terms, truth, 1e-3, 120), fitted(terms, truth, 1e-3, 120, trust=trust)
    assert part.common == all_of_it.common and part.noise == all_of_it.noise
    drawn = part.common * terms.layers
    np.testing.assert_allclose(part.mean, drawn + trust * (all_of_it.mean - drawn))
    # What is not trusted is doubt, of the spread that the deviations have, but where all of it counts or none.
    spread = (all_of_it.mean / terms.layers).std()
    doubt = np.sqrt(trust * (1 - trust)) * spread
    np.testing.assert_allclose(errors_of(part) / terms.layers, doubt, rtol=0.4, atol=0.2 * spread)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [0.05, 0.2, 1.0, 3.0])
def test_at_a_given_spread_the_effects_are_those_of_a_bayesian_regression(spread: float, seed: int) -> None:
    x, z, y = random_effects(40, 10, spread, seed)
    effects, covariance, noise = Mixed(x, z, y).effects(spread)
    # V = Z D Z' + I in units of the noise; generalised least squares, then the best linear unbiased prediction.
    d = spread**2 * np.eye(10)
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
    x, z, y = random_effects(30, 9, 0.5, seed=0)
    model, contrasts = Mixed(x, z, y), null_space(x.T)
    left = contrasts.T @ y

    def literal(spread: float) -> float:
        """Of the contrasts that no fixed effect moves, at the noise that makes them likeliest."""
        seen = contrasts.T @ (np.eye(len(y)) + spread**2 * z @ z.T) @ contrasts
        variance = left @ np.linalg.solve(seen, left) / len(left)
        return -float(multivariate_normal.logpdf(left, cov=variance * seen))

    spreads = (0.01, 0.1, 0.5, 1.5, 10.0)
    ours, theirs = [np.array([f(one) for one in spreads]) for f in (lambda s: model.surprise(np.log(s)), literal)]
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), rtol=1e-5)


@pytest.mark.parametrize("spread", [0.1, 0.3, 2.0])
def test_the_likeliest_spread_is_near_that_which_the_data_were_made_with(spread: float) -> None:
    model = Mixed(*random_effects(400, 80, spread, seed=1))
    found = model.likeliest_spread()
    assert np.log(found) == pytest.approx(np.log(spread), abs=0.35)
    least = model.surprise(np.log(found))
    assert min(model.surprise(at) for at in np.linspace(*np.log(SPREADS), 200)) > least - 1e-6


def test_two_standard_errors_cover_nearly_all_elasticities_and_not_all() -> None:
    terms, covered = Terms(space_of()), []
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        truth = terms.layers * (0.2 + 0.1 * rng.standard_normal(len(terms.names)))
        posterior = fitted(terms, truth, 0.1, 60, seed)
        covered.append(np.abs(posterior.mean - truth) <= 2 * errors_of(posterior))
    assert 0.85 <= np.mean(covered) < 1


def test_the_standard_errors_also_cover_what_shared_weights_alone_say() -> None:
    terms, covered = Terms(space_of()), []
    for seed in range(100):
        rng = np.random.default_rng(1000 + seed)
        true, own = 0.1 * rng.standard_normal((2, len(terms.names)))  # of networks alone, and of the shared weights
        posterior = fitted(terms, terms.layers * (0.3 + true + own), 0.05, 80, seed, trust=0.5)
        covered.append(np.abs(posterior.mean - terms.layers * (0.3 + true)) <= 2 * errors_of(posterior))
    assert 0.9 <= np.mean(covered) < 1


def test_the_standard_error_of_a_difference_covers_it() -> None:
    terms = Terms(space_of())
    first, second = terms.matrix(networks_of(terms.space, 2, seed=77))
    covered = []
    for seed in range(60):
        truth = terms.layers * (0.2 + 0.1 * np.random.default_rng(1000 + seed).standard_normal(len(terms.names)))
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
    expected = terms.of(space.choose(widths, depths)) @ terms.at_least(elasticities)
    assert total == pytest.approx(expected, abs=1e-12)


def test_no_candidate_adds_as_much_as_the_full_one_and_less_the_smaller_it_is() -> None:
    space = space_of()
    terms = Terms(space)
    scores = terms.scores(np.random.default_rng(0).normal(0.0, 1.0, len(terms.names)))
    assert scores.keys() == {*space.widths, *space.depths}
    for part in scores.values():
        assert part[-1] == 0 and (np.diff(part) > 0).all()


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"search": "width"}, {1, 4}),
        ({"search": "depth"}, {3}),
        ({"search": "width", "ratios": (1.0,)}, set()),
    ],
)
def test_widths_alone_and_depths_alone_and_nothing_at_all_are_fitted(
    options: dict[str, object], layers: set[int]
) -> None:
    space = space_of(**options)
    terms = Terms(space)
    assert set(terms.layers.tolist()) == layers
    truth = 0.2 * terms.layers
    posterior = fitted(terms, truth, 0.01, 60, 0)
    np.testing.assert_allclose(posterior.mean, truth, atol=0.03)
    assert posterior.covariance.shape == (len(truth), len(truth))
    assert posterior.level == pytest.approx(-2.0, abs=0.03)
    assert posterior.common == pytest.approx(0.2 if layers else 0.0, abs=0.03)
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


def test_what_no_network_says_anything_of_is_the_common_value_as_open_as_the_others_are_spread() -> None:
    terms = Terms(space_of())
    truth = np.random.default_rng(0).uniform(0.1, 0.5, len(terms.names)) * terms.layers
    matrix, scores = simulated(terms, truth, 0.01, 80, 0)
    unsaid = np.arange(len(terms.names)) >= len(terms.widths)
    scores = scores - matrix[:, unsaid] @ truth[unsaid]
    matrix[:, unsaid] = 0.0
    posterior = fit_elasticities(matrix, terms.layers, scores, trust=1.0)
    np.testing.assert_allclose(posterior.mean[unsaid] / terms.layers[unsaid], posterior.common)
    spread = (posterior.mean / terms.layers)[~unsaid].std()
    np.testing.assert_allclose((errors_of(posterior) / terms.layers)[unsaid], spread, rtol=0.4)
    assert (errors_of(posterior) / terms.layers)[~unsaid].max() < 0.2 * spread


def test_a_width_stands_for_the_layers_that_have_it_and_a_step_of_depth_for_its_blocks() -> None:
    terms = Terms(space_of())
    layers = dict(zip(terms.names, terms.layers))
    assert layers["conv1"] == 4  # the first convolution, and the last one of each block of the first stage
    assert layers["stage2.1.conv1"] == 1 and layers["stage3.0.conv2"] == 4
    assert layers["stage1 2 to 1"] == layers["stage3 3 to 2"] == 3
    free = Terms(space_of(residuals="free"))
    assert dict(zip(free.names, free.layers))["stage1.1.conv2"] == 1


def test_draws_have_the_mean_and_the_covariance_and_follow_from_the_seed() -> None:
    terms = Terms(space_of(search="depth"))
    posterior = fitted(terms, np.full(6, 0.2), 0.1, 50, 0, trust=0.5)
    draws = posterior.draws(100_000, seed=3)
    errors = errors_of(posterior)
    # Five standard errors of the mean of so many draws; of covariances, a per cent or two of the scale.
    assert (np.abs(draws.mean(0) - posterior.mean) < 5 * errors / np.sqrt(len(draws))).all()
    scale = np.outer(errors, errors)
    np.testing.assert_allclose(np.cov(draws.T) / scale, posterior.covariance / scale, atol=0.025)
    np.testing.assert_array_equal(draws, posterior.draws(100_000, seed=3))
    assert not np.array_equal(draws[:10], posterior.draws(10, seed=4))
