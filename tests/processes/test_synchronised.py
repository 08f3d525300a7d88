"""Batch norms over several processes are those of one process with all images."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tas.training.position import EpochPosition
from tas.training.synchronised import SynchronisedNorms
from tests.processes.together import called_together

SHAPES = [(8, 3, 5, 4), (8, 3)]


def network(shape: tuple[int, ...], affine: bool) -> nn.Module:
    torch.manual_seed(1)
    norm = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(shape[1], affine=affine)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norm.double()


def batch(shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    # Halves of means apart from each other, one of them far from zero beside its deviation.
    images = torch.randn(shape, dtype=torch.float64) + torch.arange(8.0).view(-1, *[1] * (len(shape) - 1)) * 10 + 1000
    return images, torch.randn(shape, dtype=torch.float64)


def passed(norm: nn.Module, images: Tensor, direction: Tensor) -> dict[str, Tensor]:
    """The output, the gradients and the statistics after a step in training, and the output in evaluation."""
    images = images.clone().requires_grad_()
    made = norm(images)
    (made * direction).sum().backward()
    found = {"made": made.detach(), "images": images.grad}
    found |= {f"grad {name}": parameter.grad for name, parameter in norm.named_parameters()}
    found |= dict(norm.named_buffers())
    return {**found, "judged": norm.eval()(images).detach()}


def half(rank: int, shape: tuple[int, ...], affine: bool) -> dict[str, Tensor]:
    images, direction = batch(shape)
    with SynchronisedNorms():
        return passed(network(shape, affine), images[rank::2], direction[rank::2])


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "affine"), [(SHAPES[0], True), (SHAPES[1], False)])
def test_two_halves_of_a_batch_are_normalised_as_the_whole(shape: tuple[int, ...], affine: bool) -> None:
    whole = passed(network(shape, affine), *batch(shape))
    both = called_together(half, shape, affine)
    for rank, own in enumerate(both):
        for name in ("made", "images", "judged"):
            torch.testing.assert_close(own[name], whole[name][rank::2], msg=name)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            torch.testing.assert_close(own[name], whole[name], msg=name)
    for name in [name for name in whole if name.startswith("grad ")]:
        torch.testing.assert_close(both[0][name] + both[1][name], whole[name], msg=name)


def test_alone_a_norm_is_torchs_own_to_the_last_bit() -> None:
    shape = SHAPES[0]
    plain = passed(network(shape, True), *batch(shape))
    with SynchronisedNorms():
        synchronised = passed(network(shape, True), *batch(shape))
    assert all(torch.equal(plain[name], synchronised[name]) for name in plain)


def mixed(rank: int) -> tuple[Tensor, Tensor]:
    norm, images = nn.BatchNorm2d(3), batch(SHAPES[0])[0][rank::2].bfloat16().requires_grad_()
    with SynchronisedNorms(), torch.autocast("cpu", torch.bfloat16):
        made = norm(images)
    made.float().square().sum().backward()
    return made.detach(), norm.weight.grad


@pytest.mark.slow
def test_half_precision_comes_out_as_it_went_in_and_is_computed_in_single() -> None:
    whole = nn.BatchNorm2d(3)(batch(SHAPES[0])[0].bfloat16().float())
    for rank, (made, gradient) in enumerate(called_together(mixed)):
        assert (made.dtype, gradient.dtype) == (torch.bfloat16, torch.float32)
        torch.testing.assert_close(made, whole[rank::2].detach().bfloat16())


def drawn(rank: int) -> Tensor:
    position = EpochPosition(seed=3)
    position.on_train_epoch_start(SimpleNamespace(current_epoch=2, global_rank=rank), None)
    return torch.rand(4)


def test_processes_augment_by_draws_of_their_own_and_the_first_by_those_of_one_alone() -> None:
    torch.manual_seed(3 * 1_000_003 + 2)
    alone = torch.rand(4)
    assert torch.equal(drawn(0), alone)
    assert len({tuple(drawn(rank).tolist()) for rank in range(8)}) == 8
