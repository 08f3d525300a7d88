"""Whether a supernet is what it stands for: run beside the network, and beside a smaller one that is cut out of it."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from tas.cutting.cut import Resizable, cut
from tas.errors import TasError, gist
from tas.space.space import SearchSpace
from tas.supernet.choice import Alignment
from tas.supernet.supernet import Supernet

COMPARED = 4
WITHIN = 1e-3
"""How far logits may differ, as a share of the largest: float32 leaves some 1e-6."""


def check_supernet(network: nn.Module, space: SearchSpace, align: Alignment = "pad") -> None:
    """TasError unless a fresh supernet gives what the network gives, and its smallest network what one cut out gives.

    Both in evaluation and in training, on random images, with numbers in the place of the zeros and ones that many
    networks start with, behind which a difference would not be seen. Of a network that makes itself smaller, and has
    layers then that the unpruned one lacks, the fresh supernet alone is compared.

    Args:
        network: The unpruned network; it is not changed.
        space: What can be chosen of it.
        align: As for the supernet: also a step of its training by a mixture is tried.
    """
    name, full = space.full.network, space.full
    with same_numbers():
        network = lively(copy.deepcopy(network))
        like = next(network.parameters())
        images = torch.randn(COMPARED, full.in_channels, full.image_size, full.image_size).to(like)
        supernet = Supernet(network, space, align)
    compared = {"the network": full}
    if not isinstance(network, Resizable):
        compared["a smaller network"] = space.smallest()
    for words, architecture in compared.items():
        # The smaller one is cut when both have gone through the same training pass.
        twin = network if architecture == full else cut(network, space.plan, architecture)
        supernet.force(architecture)
        for training in (False, True):
            when = "in training" if training else "in evaluation"
            expected = run(twin.train(training), images, f"{name} was read wrongly: {when} {words} does not run")
            given = run(supernet.train(training), images, f"{name} was read wrongly: {when} its supernet does not run")
            if given.shape != expected.shape:
                shapes = f"{tuple(given.shape)}, not {tuple(expected.shape)}"
                raise TasError(f"{name} was read wrongly: {when} its supernet gives {shapes}")
            gap, scale = (given - expected).abs().max().item(), expected.abs().max().item()
            if not gap <= WITHIN * scale:
                raise TasError(
                    f"{name} was read wrongly: {when} its supernet computes something else than {words} "
                    f"(logits of up to {scale:.2g} differ by {gap:.2g})"
                )

    with same_numbers():
        supernet.sample(1.0, 2, torch.Generator().manual_seed(0))
        try:
            supernet(images).square().mean().backward()
        except Exception as error:  # whatever the user's code raises
            raise TasError(f"{name}: a training step of its supernet does not run: {gist(error)}") from None


def check_masked(supernet: Supernet) -> None:
    """TasError unless a supernet gives masked what it gives sliced, in training, of random images.

    It does not where channels of zeros change others: a norm over channels, a mean over them, a sigmoid behind no norm.

    Args:
        supernet: Any; it is not changed.
    """
    space, full = supernet.space, supernet.space.full
    failing = f"{full.network} cannot be computed masked"
    like = next(supernet.parameters())
    with same_numbers():
        sliced = lively(copy.deepcopy(supernet)).train()
        assert isinstance(sliced, Supernet)
        sliced.compute_by("sliced")
        masked = copy.deepcopy(sliced)
        masked.compute_by("masked")
        images = torch.randn(COMPARED, full.in_channels, full.image_size, full.image_size).to(like)
    for drawn in ("the smallest network", "a mixture"):
        for one in (sliced, masked):
            if drawn == "a mixture":
                one.sample(1.0, 2, torch.Generator().manual_seed(0))
            else:
                one.force(space.smallest())
        expected, given = (run(one, images, failing) for one in (sliced, masked))
        gap, scale = (given - expected).abs().max().item(), expected.abs().max().item()
        if not gap <= WITHIN * scale:
            raise TasError(f"{failing}: of {drawn} its logits of up to {scale:.2g} differ by {gap:.2g}")


@torch.no_grad()
def run(network: nn.Module, images: Tensor, failing: str) -> Tensor:
    """The logits of a forward pass that draws always the same random numbers. TasError where it fails."""
    try:
        with same_numbers():
            logits: Tensor = network(images)
    except Exception as error:  # whatever the user's code raises
        raise TasError(f"{failing}: {gist(error) or type(error).__name__}") from None
    return logits.double()


@contextmanager
def same_numbers() -> Iterator[None]:
    """Random numbers that are the same each time, and leave those that are drawn later as they were."""
    states = random.getstate(), np.random.get_state()
    on_gpus = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_gpus else []):
        _ = torch.manual_seed(0) if on_gpus else torch.default_generator.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


@torch.no_grad()
def lively(network: nn.Module) -> nn.Module:
    """Give all that starts as zeros or ones numbers of its own, in place."""
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
        elif not (isinstance(tensor, nn.Parameter) and tensor.is_floating_point() and tensor.numel()):
            continue
        elif bool((tensor == tensor.flatten()[0]).all()):
            _ = tensor.uniform_(0.5, 1.5) if tensor.dim() <= 1 else tensor.normal_(0, 0.05)
    return network
