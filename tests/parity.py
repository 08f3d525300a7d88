"""The property that any network must have: forced to a choice, its supernet is the smaller network that is cut out."""

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import tas
from tas.architecture import Architecture
from tas.cost.measures import FLOPS
from tas.cutting.cut import cut
from tas.reading.layer_calls import dtype_of, without_storage
from tas.space.of_network import search_space
from tas.space.space import SearchSpace
from tas.supernet.norms import CandidateNorm
from tas.supernet.supernet import Supernet


def randomise(network: nn.Module, seed: int = 0) -> None:
    """Give all that starts as zeros or ones, where a wrong channel would not be seen, numbers of its own."""
    random_numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if tensor.dim() <= 1 or name.endswith(("scales", "shifts", "gamma", "layer_scale")):
                tensor.copy_(torch.rand(tensor.shape, generator=random_numbers) + 0.5)
        for name, tensor in network.named_buffers():
            if name.endswith("running_mean"):
                tensor.copy_(0.1 * torch.randn(tensor.shape, generator=random_numbers))
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=random_numbers) + 0.5)


def randomise_candidates(supernet: Supernet, seed: int = 0) -> None:
    """Give each candidate of a width scales and shifts of its own."""
    for norm in supernet.modules():
        if isinstance(norm, CandidateNorm):
            seed += 1
            numbers = torch.rand(2, *norm.scales.shape, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                norm.scales.copy_(0.5 + numbers[0])
                norm.shifts.copy_(numbers[1] - 0.5)


def searchable(
    network: nn.Module, input_shape: Sequence[int], dtype: torch.dtype = torch.float64, **options
) -> tuple[SearchSpace, Supernet]:
    """The space of a network and a supernet of which all numbers are random."""
    randomise(network)
    network = network.to(dtype)
    space = search_space(network, torch.empty(2, *input_shape), **options)
    supernet = Supernet(network, space)
    randomise_candidates(supernet)
    return space, supernet


def random_choices(space: SearchSpace, count: int, seed: int = 0) -> Iterator[Architecture]:
    """Architectures, every width and depth drawn by itself."""
    draw = random.Random(seed)
    for _ in range(count):
        widths = {name: draw.choice(candidates) for name, candidates in space.widths.items()}
        yield space.choose(widths, {name: draw.choice(candidates) for name, candidates in space.depths.items()})


def counted_by_torch(network: nn.Module, input_shape: Sequence[int]) -> int:
    """torch's own count, which has two FLOPs for a multiply-add."""
    twin = without_storage(network)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        twin(torch.empty(1, *input_shape, dtype=dtype_of(network)))
    return counter.get_total_flops() // 2


def assert_same_cost(small: nn.Module, space: SearchSpace, architecture: Architecture, shape: Sequence[int]) -> None:
    """The plan, the layers and torch must count alike."""
    planned = FLOPS.exact(space.plan, architecture)
    assert planned == tas.flops(small, shape)
    assert planned == counted_by_torch(small, shape)


def assert_same_function(first: nn.Module, second: nn.Module, images: Tensor, within: float) -> None:
    """The largest difference of two networks' outputs is not above `within`."""
    with torch.no_grad():
        torch.testing.assert_close(first(images), second(images), rtol=0, atol=within)


def assert_parity(network: nn.Module, input_shape: Sequence[int], count: int = 6, **options) -> SearchSpace:
    """In double precision, in training and evaluation, for so many random choices; returns the space."""
    space, supernet = searchable(network, input_shape, **options)
    assert_fresh_supernet_is_the_network(network.double(), space, input_shape)
    choices = [space.full, space.smallest(), *random_choices(space, count)]
    images = torch.randn(len(choices), 4, *input_shape, generator=torch.Generator().manual_seed(1)).double()
    for architecture, batch in zip(choices, images):
        small = cut(network, space.plan, architecture, supernet.weights(architecture))
        assert type(small) is type(network)
        supernet.force(architecture)
        assert_same_function(supernet.eval(), small.eval(), batch, 1e-10)
        assert_same_function(supernet.train(), small.train(), batch, 1e-10)
        # Evaluated again, they show whether the running statistics have changed alike.
        assert_same_function(supernet.eval(), small.eval(), batch, 1e-10)
        assert_same_cost(small, space, architecture, input_shape)
    return space


def assert_fresh_supernet_is_the_network(network: nn.Module, space: SearchSpace, input_shape: Sequence[int]) -> None:
    images = torch.randn(4, *input_shape, generator=torch.Generator().manual_seed(2)).double()
    assert_same_function(Supernet(network, space).eval(), network.eval(), images, 1e-10)


def assert_gradients(network: nn.Module, space: SearchSpace, input_shape: Sequence[int]) -> None:
    """With two samples, each choice that is searched learns from the loss."""
    supernet = Supernet(network, space).train()
    random_numbers = torch.Generator().manual_seed(0)
    supernet.sample(1.0, 2, random_numbers)
    images = torch.randn(4, *input_shape, generator=random_numbers).to(next(network.parameters()).dtype)
    outputs = supernet(images)
    (outputs * torch.randn(outputs.shape, generator=random_numbers)).sum().backward()
    for name, choice in (*supernet.widths.items(), *supernet.depths.items()):
        if len(choice.candidates) > 1:
            assert choice.logits.grad is not None, name
            assert choice.logits.grad.isfinite().all(), name
            assert choice.logits.grad.abs().sum() > 0, name
