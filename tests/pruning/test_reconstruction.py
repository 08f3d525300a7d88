from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from tas.pruning.patches import patches, sampled_inputs, second_moments
from tas.pruning.reconstruction import gram, greedy, lasso
from tas.pruning.refit import fitted, refit


def contributions(layer: nn.Conv2d, read: Tensor) -> Tensor:
    """What each input channel adds to a layer's output, (channels, samples * outputs), literally."""
    weight = layer.weight.detach().double().flatten(2)
    return torch.einsum("pck,nck->cpn", read.reshape(len(read), weight.shape[1], -1), weight).flatten(1)


@pytest.mark.parametrize("stride", [1, 2])
def test_patches_times_weights_are_outputs(stride: int) -> None:
    layer = nn.Conv2d(5, 7, 3, stride, padding=1, bias=False)
    images = torch.rand(4, 5, 8, 8)
    read = patches(layer, images, torch.Generator().manual_seed(0))
    given = (read @ layer.weight.flatten(1).T).reshape(-1, 4, 7)  # (positions, images, outputs)
    everything = layer(images).flatten(2).permute(2, 0, 1)
    for sample in given:
        assert any(torch.allclose(sample, place, atol=1e-5) for place in everything)


def test_the_gram_matrix_is_that_of_the_contributions() -> None:
    network = nn.Sequential(nn.Conv2d(5, 7, 3, padding=1))
    batches = [(torch.rand(4, 5, 6, 6), torch.zeros(4)) for _ in range(2)]
    moment = second_moments(network, ["0"], batches, seed=0)["0"]
    layer = network[0]
    assert isinstance(layer, nn.Conv2d)
    seen: list[Tensor] = []
    sampled_inputs(network, ["0"], batches, 0, lambda _, read: seen.append(read))
    parts = contributions(layer, torch.cat(seen))
    torch.testing.assert_close(gram(moment, layer), parts @ parts.T)


def test_every_layer_is_sampled_at_positions_of_its_own_the_same_ones_every_time() -> None:
    network = nn.Sequential(*(nn.Conv2d(1, 1, 1, bias=False) for _ in range(40)))
    for layer in network:
        nn.init.ones_(layer.weight)
    ramp = [(torch.arange(1024.0).reshape(1, 1, 32, 32), torch.zeros(1))]  # which every layer reads
    names = [str(number) for number in range(40)]

    def positions(seen_of: list[str]) -> dict[str, tuple[float, ...]]:
        seen: dict[str, tuple[float, ...]] = {}
        sampled_inputs(network, seen_of, ramp, 0, lambda name, read: seen.update({name: tuple(read[:, 0].tolist())}))
        return seen

    found = positions(names)
    assert len(set(found.values())) == 40
    assert positions(["7"])["7"] == found["7"]


def error(matrix: Tensor, gone: tuple[int, ...]) -> float:
    return float(matrix[list(gone)][:, list(gone)].sum())


@pytest.mark.parametrize("seed", range(5))
def test_every_greedy_step_is_the_best_one(seed: int) -> None:
    parts = torch.randn(6, 40, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    matrix = parts @ parts.T
    order = greedy(matrix).argsort().tolist()
    for step in range(6):
        gone = tuple(order[:step])
        best = min((c for c in range(6) if c not in gone), key=lambda c: error(matrix, (*gone, c)))
        assert order[step] == best


def test_greedy_equals_brute_force_where_channels_are_independent() -> None:
    parts = torch.diag(torch.tensor([3.0, 1.0, 5.0, 2.0, 4.0], dtype=torch.float64))
    matrix = parts @ parts.T
    order = greedy(matrix).argsort().tolist()
    for count in range(1, 5):
        best = min(combinations(range(5), count), key=lambda gone: error(matrix, gone))
        assert set(order[:count]) == set(best)


def test_greedy_removes_channels_that_cancel_one_another() -> None:
    part = torch.randn(1, 30, dtype=torch.float64)
    parts = torch.cat([part, -part, 0.5 * torch.randn(3, 30, dtype=torch.float64) + 2.0])
    order = greedy(parts @ parts.T).argsort().tolist()
    assert set(order[:2]) == {0, 1} or error(parts @ parts.T, (0, 1)) < 1e-9


def test_lasso_keeps_the_channels_that_say_something() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(6, 200, generator=generator, dtype=torch.float64)
    parts[[1, 4]] *= 0.01
    parts[3] = 0
    scores = lasso(parts @ parts.T)
    assert set(scores.argsort(descending=True)[:3].tolist()) == {0, 2, 5}
    assert scores[3] == 0 == scores.min()


def test_lasso_prefers_one_of_two_equal_channels_that_say_the_same() -> None:
    generator = torch.Generator().manual_seed(1)
    parts = torch.randn(4, 200, generator=generator, dtype=torch.float64)
    parts[1] = 2 * parts[0]  # the larger of the two can stand for both
    scores = lasso(parts @ parts.T)
    assert scores[1] > scores[2] and scores[1] > scores[0]


def test_the_fit_has_the_least_error() -> None:
    inputs, wanted = torch.randn(200, 6, dtype=torch.float64), torch.randn(200, 3, dtype=torch.float64)
    weight = fitted(torch.zeros(3, 6, dtype=torch.float64), inputs, wanted)
    best = torch.linalg.lstsq(inputs, wanted).solution.T
    torch.testing.assert_close(weight, best, rtol=0.01, atol=0.01)


def test_a_refit_brings_back_what_the_other_channels_know() -> None:
    full = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.Conv2d(4, 3, 3, padding=1, bias=False))
    with torch.no_grad():
        full[0].weight[3] = full[0].weight[0] + full[0].weight[1]
    small = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.Conv2d(3, 2, 3, padding=1, bias=False))
    small[0].weight.data = full[0].weight.data[:3].clone()
    small[1].weight.data = full[1].weight.data[[0, 2], :3].clone()
    batches = [(torch.randn(16, 1, 8, 8), torch.zeros(16)) for _ in range(4)]
    images = torch.randn(2, 1, 8, 8)

    def missed() -> float:
        return float((full(images)[:, [0, 2]] - small(images)).detach().abs().max())

    before = missed()
    refit(full, small, ["1"], {"1": [1]}, batches, seed=0)
    assert missed() < 0.05 * before
