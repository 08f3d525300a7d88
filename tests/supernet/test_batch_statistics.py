"""Norms that take the statistics of the batch, and keep nothing of it."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tas.cutting.build import build
from tas.networks import open_network
from tas.search.probing import random_networks
from tas.supernet.batch_statistics import batch_statistics
from tas.supernet.supernet import Supernet
from tests.parity import randomise, randomise_candidates
from tests.small_networks import SMALL, chain, conv
from tests.spaces import paper_space, unpruned


def images(count: int = 6, size: int = 8, seed: int = 0) -> Tensor:
    """Of another mean and spread than the running statistics of a fresh norm."""
    return 3 + 2 * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def supernet() -> nn.Module:
    """One that is forced to a random network of its space."""
    full = unpruned("resnet20", size=8)
    space = paper_space(full, 8)
    made = Supernet(build(full), space)
    randomise_candidates(made)
    made.force(random_networks(space, 1, torch.Generator().manual_seed(0))[0])
    return made


def several_norms() -> nn.Module:
    """Norms with a momentum, with a cumulative average, without running statistics, and one over vectors."""
    return nn.Sequential(
        *(conv(3, 6), nn.BatchNorm2d(6, momentum=0.3), conv(6, 6), nn.BatchNorm2d(6, momentum=None), nn.ReLU()),
        *(conv(6, 8), nn.BatchNorm2d(8, track_running_stats=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        *(nn.BatchNorm1d(8, affine=False), nn.Linear(8, 5)),
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet20": lambda: open_network("resnet20", 10, 3),
    "several_norms": several_norms,
    "supernet": supernet,
    "flattened": SMALL["flattened"],
    "layer norms alone": SMALL["channels_last"],
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    randomise(network)
    return network


def norms_of(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def state_of(network: nn.Module) -> dict[str, object]:
    """All that a forward pass could change: modes, momenta, and every tensor, bit by bit."""
    modes = {f"mode of {name}": module.training for name, module in network.named_modules()}
    momenta = {f"momentum {place}": norm.momentum for place, norm in enumerate(norms_of(network))}
    tensors = {name: tensor.tolist() for name, tensor in network.state_dict().items()}
    return {**modes, **momenta, **tensors}


@pytest.mark.parametrize("name", NETWORKS)
def test_inside_the_output_is_that_of_training(name: str) -> None:
    network, batch = made(name), images()
    with torch.no_grad():
        trained = copy.deepcopy(network).train()(batch)
        evaluated = network.eval()(batch)
        with batch_statistics(network):
            inside = network(batch)
        torch.testing.assert_close(inside, trained, rtol=1e-5, atol=1e-5)
        # Outside, the running statistics are taken, which are others.
        assert torch.equal(network(batch), evaluated)
        assert torch.allclose(inside, evaluated) == (not norms_of(network))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_afterwards_all_is_as_before(name: str, training: bool) -> None:
    network = made(name).train(training)
    before, statistics = state_of(network), dict(network.named_buffers())
    with batch_statistics(network):
        for seed in range(3):
            network(images(seed=seed))
        assert all(norm.training for norm in norms_of(network))
    assert state_of(network) == before
    # They are the same tensors, so that what refers to them still does.
    assert all(network.get_buffer(key) is tensor for key, tensor in statistics.items())


@pytest.mark.parametrize("name", ["resnet20", "several_norms", "supernet"])
def test_after_a_failure_inside_all_is_as_before(name: str) -> None:
    network = made(name).train()
    before = state_of(network)
    with pytest.raises(ValueError, match="out of images"), batch_statistics(network):
        network(images())
        raise ValueError("out of images")
    assert state_of(network) == before
    with pytest.raises(RuntimeError), batch_statistics(network):
        network(torch.zeros(2, 7, 8, 8))
    assert state_of(network) == before


def test_a_module_that_was_in_another_mode_than_its_network_is_so_again() -> None:
    network = several_norms().train()
    network[1].eval()
    network[2].eval()
    with batch_statistics(network):
        assert [network.training, network[0].training, network[1].training] == [False, False, True]
    assert not network[1].training and not network[2].training
    assert all(module.training for module in network.modules() if module not in (network[1], network[2]))


def test_dropout_stays_off() -> None:
    torch.manual_seed(0)
    layers = (conv(3, 8), nn.BatchNorm2d(8), nn.ReLU())
    without = chain(*layers)
    network = nn.Sequential(*without[:3], nn.Dropout(0.9), *without[3:])
    batch = images()
    with torch.no_grad():
        trained = copy.deepcopy(without).train()(batch)
        assert not torch.allclose(network.train()(batch), trained, atol=1e-3)
        with batch_statistics(network):
            assert not network[3].training
            inside = network(batch)
            assert torch.equal(inside, network(batch))
    torch.testing.assert_close(inside, trained, rtol=1e-5, atol=1e-5)
    assert network[3].training


def test_each_batch_is_normalised_by_itself() -> None:
    network = made("several_norms").eval()
    with torch.no_grad(), batch_statistics(network):
        alone = network(images(seed=1))
        network(100 * images(seed=2))
        assert torch.equal(network(images(seed=1)), alone)
        torch.testing.assert_close(network(images(seed=1).flip(0)), alone.flip(0), rtol=1e-4, atol=1e-4)
        first = network(images(seed=1)[:3])
    assert not torch.allclose(first, alone[:3], atol=1e-3)


def test_gradients_flow_as_in_training() -> None:
    network = made("resnet20")
    twin = copy.deepcopy(network).train()
    twin(images()).square().sum().backward()
    with batch_statistics(network):
        network(images()).square().sum().backward()
    for ours, theirs in zip(network.parameters(), twin.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


def test_images_that_overflow_leave_the_running_statistics_as_they_were() -> None:
    network = made("several_norms")
    before = state_of(network)
    with batch_statistics(network):
        network(torch.full((4, 3, 8, 8), torch.inf))
    assert state_of(network) == before
