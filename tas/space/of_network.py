"""The search space of a network of any class, read and tried."""

import random
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.config.groups import Space
from tas.cost.measures import MEASURES
from tas.cutting.cut import cut
from tas.errors import TasError, gist
from tas.networks import name_of
from tas.reading.layer_calls import failure_in_training, shape_of_output
from tas.reading.readers import read_plan
from tas.space.space import SearchSpace


def search_space(
    network: nn.Module,
    example_input: Tensor,
    *,
    ratios: Sequence[float] = Space.ratios,
    round_to: int = 1,
    exclude: Sequence[str] = (),
    residuals: Literal["tied", "free"] = "tied",
    name: str | None = None,
) -> SearchSpace:
    """Read a network of any class: which of its widths and depths can be searched, and between what.

    `print` shows it as a table.

    Args:
        network: From images (N, C, H, W) to logits (N, classes); it is not changed.
        example_input: Such images; only their shape matters.
        ratios, round_to, exclude: As the options of these names.
        residuals: Whether widths of a CIFAR ResNet that identity shortcuts join are one, or free as in the paper.
        name: What `architecture.json` calls the network: "package.module:factory" if a function there makes it, so
            that `tas.build` and `tas.load` can make it again; by default its class.

    Raises:
        TasError: The network cannot be read, or nothing of it can be searched.
    """
    if example_input.dim() != 4 or example_input.shape[2] != example_input.shape[3]:
        raise TasError(
            f"example_input has the shape {tuple(example_input.shape)}; it must be square images (N, C, H, W)"
        )
    name = name or name_of(network)
    _, in_channels, image_size, _ = example_input.shape
    plan = read_plan(network, example_input.shape[1:], name)
    full = Architecture(name, plan.logits, in_channels, image_size, plan.widths, plan.depths())
    options = Space(residuals=residuals, ratios=tuple(ratios), round_to=round_to, exclude=tuple(exclude))
    space = SearchSpace.of(plan, full, options)
    check_cuts(network, space, example_input.shape[1:])
    return space


def check_cuts(network: nn.Module, space: SearchSpace, input_shape: Sequence[int]) -> None:
    """TasError unless networks of the space can be cut, take images, and cost what the plan says.

    The smallest is tried, and two of which the widths are drawn, so that those that have to be equal are found out;
    in training, too, unless a training pass needs the numbers that a copy without storage has not.
    """
    trains = failure_in_training(network, input_shape) is None
    with torch.random.fork_rng(devices=[]):  # what a search draws later does not depend on it
        generator = random.Random(0)
        drawn = [space.drawn(generator) for _ in range(2)]
        for architecture in (space.smallest(), *drawn):
            check_cut(network, space, architecture, input_shape, trains)


def check_cut(
    network: nn.Module, space: SearchSpace, architecture: Architecture, input_shape: Sequence[int], trains: bool
) -> None:
    """TasError unless a network can be cut, takes images, in training too if wanted, and costs what the plan says."""
    name = space.full.network
    small = cut(network, space.plan, architecture)
    try:
        shape_of_output(small, input_shape)
    except Exception as error:  # whatever the user's code raises when a block or channels of it are gone
        raise TasError(
            f"{name} was read wrongly; a smaller network does not run: {gist(error) or type(error).__name__}"
        ) from None
    failure = failure_in_training(small, input_shape) if trains else None
    if failure is not None:
        raise TasError(f"{name} was read wrongly; in training a smaller network does not run: {failure}")
    for measure in MEASURES.values():
        counted, planned = measure.count(small, input_shape), measure.exact(space.plan, architecture)
        if counted != planned:
            raise TasError(f"{name} was read wrongly; a smaller network has {counted} {measure.words}, not {planned}")
