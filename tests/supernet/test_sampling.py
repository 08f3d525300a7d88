"""The distributions of Gumbel weights and of sampled candidates.

Draws come from seeded generators, so what passes once passes always; the bounds are those of a chi-square test at one
in ten thousand.
"""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from tas.supernet.sampling import gumbel_weights, sample_candidates

LOGITS = torch.tensor([0.5, -1.0, 1.5, 0.0, -0.3])
DRAWS = 40_000


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_frequencies(draws, probabilities):
    counts = torch.bincount(draws, minlength=len(probabilities))
    expected = torch.as_tensor(probabilities, dtype=torch.float64) * len(draws)
    assert chisquare(counts.double().numpy(), expected.numpy(), sum_check=False).pvalue > 1e-4


@pytest.mark.parametrize("tau", [0.01, 0.1, 1.0, 10.0])
def test_at_any_temperature_the_largest_weight_follows_the_softmax_of_the_logits(tau):
    weights = gumbel_weights(LOGITS.expand(DRAWS, -1), tau, generator())
    assert_frequencies(weights.argmax(-1), LOGITS.double().softmax(0))


def test_shifted_logits_give_the_same_weights():
    # Eq. 3 starts from log p, not from the logits.
    first = gumbel_weights(LOGITS, 0.5, generator())
    torch.testing.assert_close(gumbel_weights(LOGITS + 7, 0.5, generator()), first)


@pytest.mark.parametrize("tau", [0.1, 1.0, 5.0])
def test_with_equal_noise_the_weights_are_the_tempered_softmax_of_eq_3(tau):
    # The noise is read off a draw at temperature 1 of equal logits: log weights = noise + a constant.
    noise = gumbel_weights(torch.zeros(3, 5, dtype=torch.float64), 1.0, generator()).log()
    logits = LOGITS.double().expand(3, -1)
    expected = ((logits.log_softmax(-1) + noise) / tau).softmax(-1)
    torch.testing.assert_close(gumbel_weights(logits, tau, generator()), expected)


def test_the_difference_of_two_noises_is_logistic():
    # Two Gumbel variables differ by a logistic one: P(log w0/w1 < x) = 1 / (1 + exp(-x)) at temperature 1.
    weights = gumbel_weights(torch.zeros(DRAWS, 2, dtype=torch.float64), 1.0, generator())
    uniform = (weights[:, 0].log() - weights[:, 1].log()).sigmoid()
    assert_frequencies((uniform * 20).long().clamp_max(19), [1 / 20] * 20)


def test_toward_zero_temperature_the_weights_are_one_hot_and_toward_infinity_uniform():
    rows = LOGITS.expand(1000, -1)
    cold = gumbel_weights(rows, 1e-4, generator())
    assert (cold.max(-1).values > 0.999).float().mean() > 0.99
    hot = gumbel_weights(rows, 1e4, generator())
    torch.testing.assert_close(hot, torch.full_like(hot, 1 / 5), rtol=0, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=8),
    st.sampled_from([0.01, 0.1, 1.0, 10.0]),
    st.integers(0, 2**32),
)
def test_weights_sum_to_one_and_gradients_are_finite_for_any_logits(logits, tau, seed):
    logits = torch.tensor(logits, requires_grad=True)
    weights = gumbel_weights(logits, tau, generator(seed))
    assert weights.shape == logits.shape
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    weights.square().sum().backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_the_gradient_is_that_of_a_softmax_divided_by_the_temperature(tau):
    logits = LOGITS.double().requires_grad_()
    weights = gumbel_weights(logits, tau, generator())
    w = weights.detach()
    # d w_i / d logit_j = w_i (delta_ij - w_j) / tau
    expected = (torch.diag(w) - w[:, None] * w) / tau
    for row in range(len(w)):
        (gradient,) = torch.autograd.grad(weights[row], logits, retain_graph=True)
        torch.testing.assert_close(gradient, expected[row])


def test_the_same_seed_draws_the_same_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    draws = []
    for seed in (0, 0, 1):
        source = generator(seed)
        weights = gumbel_weights(LOGITS.expand(50, -1), 1.0, source)
        draws.append((weights, sample_candidates(weights, 2, source)))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first, second) for first, second in zip(draws[0], draws[1]))
    assert not any(torch.equal(first, other) for first, other in zip(draws[0], draws[2]))


def test_one_generator_draws_anew_each_time():
    source = generator()
    assert not torch.equal(gumbel_weights(LOGITS, 1.0, source), gumbel_weights(LOGITS, 1.0, source))
    rows = torch.full((100, 5), 0.2)
    assert not torch.equal(sample_candidates(rows, 2, source), sample_candidates(rows, 2, source))


@pytest.mark.parametrize("samples", [1, 2, 3, 5])
def test_candidates_are_distinct_and_ascending(samples):
    weights = gumbel_weights(LOGITS.expand(2000, -1), 1.0, generator())
    drawn = sample_candidates(weights, samples, generator(1))
    assert drawn.shape == (2000, samples)
    assert drawn.dtype == torch.int64
    assert (drawn >= 0).all() and (drawn < 5).all()
    assert (drawn.diff(dim=-1) > 0).all()


def test_all_candidates_are_drawn_when_as_many_are_asked_for():
    weights = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    assert sample_candidates(weights, 3, generator()).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_one_candidate_is_drawn_in_proportion_to_its_weight():
    weights = LOGITS.softmax(0)
    drawn = sample_candidates(weights.expand(DRAWS, -1), 1, generator())
    assert_frequencies(drawn[:, 0], weights)


def test_two_of_three_are_drawn_one_after_another_without_replacement():
    # P({a, b}) = p_a p_b / (1 - p_a) + p_b p_a / (1 - p_b)
    p = [0.6, 0.3, 0.1]
    drawn = sample_candidates(torch.tensor(p).expand(DRAWS, -1), 2, generator())
    pairs = list(itertools.combinations(range(3), 2))
    number = torch.tensor([pairs.index(tuple(row)) for row in drawn.tolist()])
    assert_frequencies(number, [p[a] * p[b] * (1 / (1 - p[a]) + 1 / (1 - p[b])) for a, b in pairs])


@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize("logits", [[0.0, 1e4, -1e4, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0, 0.0], [0.0] * 5])
def test_at_a_low_temperature_and_extreme_logits_enough_candidates_are_drawn(logits, samples):
    weights = gumbel_weights(torch.tensor(logits).expand(500, -1), 0.01, generator())
    drawn = sample_candidates(weights, samples, generator(1))
    assert (drawn.diff(dim=-1) > 0).all()
    # Next to a weight of one, the others are nothing: the largest is always among those drawn.
    certain = weights.max(-1).values > 1 - 1e-6
    assert certain.float().mean() > 0.5  # the two largest noises are seldom as near as 0.01 * log(1e6)
    largest = weights.argmax(-1, keepdim=True)
    assert (drawn == largest).any(-1)[certain].all()


def test_candidates_without_any_weight_are_drawn_alike():
    drawn = sample_candidates(torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(DRAWS, -1), 2, generator())
    assert (drawn[:, 0] == 0).all()
    assert_frequencies(drawn[:, 1] - 1, [1 / 3] * 3)


def test_sampling_takes_no_gradient():
    weights = LOGITS.softmax(0).expand(4, -1).requires_grad_()
    assert not sample_candidates(weights, 2, generator()).requires_grad
