"""Masked, at full width: what sliced layers compute, the gradients of all that learns, and nothing read back."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

import tas
from tas.architecture import Architecture
from tas.cutting.build import build
from tas.errors import TasError
from tas.networks import open_network
from tas.supernet.check import check_masked, lively
from tas.supernet.choice import Alignment
from tas.supernet.supernet import Supernet
from tests import small_networks
from tests.parity import random_choices, randomise_candidates
from tests.spaces import paper_space, unpruned
from tests.traits import with_traits

SMALL = [
    *(small_networks.addition, small_networks.squeeze_excitation, small_networks.concatenation),
    *(small_networks.grouped_concatenation, small_networks.depthwise, small_networks.depthwise_twofold),
    *(small_networks.grouped, small_networks.layer_scale, small_networks.flattened, small_networks.norm_after_flatten),
]
NOT_MASKED = [small_networks.channels_last, small_networks.other_norms, small_networks.shuffled]
"""Norms over channels, or channels whose place matters."""


ALIGNMENTS = ["pad", "interpolate"]


def both_ways(network: nn.Module, *shape: int, align: Alignment = "pad") -> tuple[Supernet, Supernet]:
    """A supernet of random numbers, and the same masked."""
    network = lively(network).double()
    sliced = Supernet(network, tas.search_space(network, torch.empty(2, *shape)), align)
    randomise_candidates(sliced)
    masked = copy.deepcopy(sliced)
    masked.compute_by("masked")
    return sliced, masked


def resnet(residuals: str, align: Alignment = "pad") -> tuple[Supernet, Supernet]:
    full = unpruned("resnet20", 10)
    sliced = Supernet(lively(build(full)).double(), paper_space(full, 8, residuals=residuals), align)
    randomise_candidates(sliced)
    masked = copy.deepcopy(sliced)
    masked.compute_by("masked")
    return sliced, masked


def gradients(supernet: Supernet, out: Tensor) -> dict[str, Tensor]:
    """Those of a sum that weighs every logit by another number."""
    supernet.zero_grad()
    (out.sin() * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in supernet.named_parameters()
    }


def assert_alike(sliced: Supernet, masked: Supernet, images: Tensor) -> None:
    """A training pass of both gives the same logits, and the same gradients to all that learns."""
    expected, given = sliced(images), masked(images)
    torch.testing.assert_close(given, expected, rtol=1e-9, atol=1e-9)
    own, others = gradients(sliced, expected), gradients(masked, given)
    torch.testing.assert_close(others, own, rtol=1e-7, atol=1e-9)


def draws(*supernets: Supernet) -> Iterator[None]:
    """Mixtures of two seeds, with depths mixed and drawn; the unpruned network, the smallest and a random one."""
    for seed in (0, 1):
        for mix_depths in (True, False):
            for one in supernets:
                one.sample(0.7, 2, torch.Generator().manual_seed(seed), mix_depths)
            yield
    space = supernets[0].space
    for architecture in (space.full, space.smallest(), *random_choices(space, 1)):
        for one in supernets:
            one.force(architecture)
        yield


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("residuals", ["tied", "free"])
def test_a_masked_resnet_computes_what_the_sliced_one_does(residuals: str, align: Alignment) -> None:
    torch.manual_seed(0)
    sliced, masked = resnet(residuals, align)
    for _ in draws(sliced, masked):
        assert_alike(sliced, masked, torch.randn(4, 3, 8, 8).double())


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("network", SMALL, ids=lambda made: made.__name__)
def test_masked_layers_of_every_kind_compute_what_sliced_ones_do(network: object, align: Alignment) -> None:
    torch.manual_seed(0)
    sliced, masked = both_ways(network(), 3, 8, 8, align=align)
    for _ in draws(sliced, masked):
        assert_alike(sliced, masked, torch.randn(4, 3, 8, 8).double())


@pytest.mark.parametrize("align", ALIGNMENTS)
def test_a_masked_mobilenet_computes_what_the_sliced_one_does(align: Alignment) -> None:
    torch.manual_seed(0)
    sliced, masked = both_ways(open_network("mobilenetv2", 5), 3, 8, 8, align=align)
    for _ in draws(sliced, masked):
        assert_alike(sliced, masked, torch.randn(4, 3, 8, 8).double())


def test_sliced_again_it_is_as_it_was() -> None:
    torch.manual_seed(0)
    sliced, masked = resnet("tied")
    masked.compute_by("sliced")
    sliced.to(memory_format=masked.layout)
    images = torch.randn(4, 3, 8, 8).double()
    for _ in draws(sliced, masked):
        assert torch.equal(sliced(images), masked(images))


@pytest.mark.parametrize("network", NOT_MASKED, ids=lambda made: made.__name__)
def test_where_zeros_change_other_channels_it_is_refused_in_a_line(network: object) -> None:
    torch.manual_seed(0)
    sliced, _ = both_ways(network(), 3, 8, 8)
    with pytest.raises(TasError, match="cannot be computed masked"):
        check_masked(sliced)


def test_what_can_be_masked_passes_the_check() -> None:
    torch.manual_seed(0)
    for sliced in (resnet("free")[0], resnet("free", "interpolate")[0], both_ways(with_traits("hooks"), 3, 8, 8)[0]):
        check_masked(sliced)


@pytest.mark.parametrize("network", ["resnet20", "mobilenetv2"])
def test_networks_side_by_side_compute_what_each_does_by_itself(network: str) -> None:
    torch.manual_seed(0)
    sliced, masked = resnet("tied") if network == "resnet20" else both_ways(open_network(network, 10), 3, 8, 8)
    assert masked.full_width is not None and masked.full_width.side_by_side
    networks = [sliced.space.smallest(), *random_choices(sliced.space, 2)]
    images = torch.randn(3, 4, 3, 8, 8).double()
    one_by_one = torch.stack([forced(sliced, one)(own) for one, own in zip(networks, images)])
    masked.full_width.fix(masked.full_width.rows_of(networks))
    together = masked(images.transpose(0, 1).flatten(0, 1)).view(4, 3, 10).transpose(0, 1)
    torch.testing.assert_close(together, one_by_one, rtol=1e-9, atol=1e-9)
    own = gradients(sliced, one_by_one)
    torch.testing.assert_close(gradients(masked, together), own, rtol=1e-7, atol=1e-9)


def forced(supernet: Supernet, architecture: Architecture) -> Supernet:
    """The supernet, set to an architecture."""
    supernet.force(architecture)
    return supernet


def test_a_copy_of_a_masked_supernet_has_vectors_of_its_own() -> None:
    torch.manual_seed(0)
    _, masked = resnet("tied")
    images = torch.randn(4, 3, 8, 8).double()
    masked.force(masked.space.full)
    masked(images)
    twin = copy.deepcopy(masked)
    with torch.no_grad():
        for parameter in masked.parameters():
            parameter.zero_()
    for one in (masked, twin):
        one.force(one.space.smallest())
    assert masked(images).abs().max() == 0 < twin(images).abs().max()
