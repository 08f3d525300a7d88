"""What the commands have in common."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import nn

from tas.architecture import Architecture
from tas.config import CommonOptions
from tas.cost import uncounted
from tas.data import ImageData, open_data
from tas.errors import TasError, blame
from tas.networks import NETWORKS, open_network
from tas.networks.library import fill, pretrained_network, read_weights
from tas.plan import Plan
from tas.reading import read_plan
from tas.runs import Run

say = rank_zero_only(print)
"""print, once where several processes run the same command."""

LEAST_SIZE = 8
"""Pixels of height and width below which the networks' three resolutions make no sense."""


def data_of(options: CommonOptions, name: str, data_dir: str) -> ImageData:
    """The data set that the options ask for, its training images loaded."""
    data = open_data(
        name,
        data_dir,
        options.image_size,
        batch_size=options.batch_size,
        workers=options.workers,
        seed=options.seed,
        train_images=options.train_images,
    )
    if data.image_size < LEAST_SIZE:
        size = f"{data.image_size}x{data.image_size}"
        raise TasError(f"--data-dir {data_dir}: images of {size} pixels are too small; give --image-size 8 or more")
    return data


@dataclass(frozen=True)
class Original:
    """An unpruned network, and what is known of it."""

    network: nn.Module
    plan: Plan
    full: Architecture
    trained: bool
    """Whether it has trained weights, of the classifier perhaps not."""
    complete: bool
    """Whether the classifier is trained, too."""
    source: str
    """Where its weights are from, in words."""


def open_original(
    name: str, pretrained: bool, weights: str | None, num_classes: int, in_channels: int, image_size: int
) -> Original:
    """The unpruned network for images and classes, fresh or with trained weights, and its structure.

    Raises:
        TasError: The network cannot be made or read, tells other classes apart, or the weights are not its own.
    """
    with blame("--network"):
        complete = False
        if pretrained:
            network, complete = pretrained_network(name, num_classes, in_channels)
        else:
            network = open_network(name, num_classes, in_channels)
        plan = read_plan(network, (in_channels, image_size, image_size), name)
        if plan.logits != num_classes:
            raise TasError(
                f"{name} tells {plan.logits} classes apart, the images have {num_classes}; "
                "let its function take num_classes"
            )
    source = f"the weights of {name.partition('/')[0]}" if pretrained else "fresh weights"
    if weights is not None:
        with blame(f"--weights {weights}"):
            complete = fill(network, read_weights(weights))
        source = weights
    size = None if name in NETWORKS else image_size
    full = Architecture(name, num_classes, in_channels, plan.widths, plan.depths(), size)
    trained = pretrained or weights is not None
    if trained and not complete:
        source += f", with a fresh classifier for {num_classes} classes"
    return Original(network, plan, full, trained, complete, source)


def home_of(architecture: str) -> Run:
    """The run that an architecture stands in; --architecture names the run or the file."""
    path = Path(architecture)
    return Run(path if path.is_dir() else path.parent)


def check_fit(what: str, architecture: Architecture, name: str, data: ImageData) -> None:
    """TasError unless a network takes the images of a data set and tells its classes apart."""
    for key, things in (("num_classes", "classes"), ("in_channels", "image channels")):
        has, needs = getattr(architecture, key), getattr(data, key)
        if has != needs:
            raise TasError(f"{what}: is for {has} {things}; --data {name} has {needs}")


@rank_zero_only
def warn(command: str, text: str) -> None:
    """Say something that does not stop a command, but that its user should know."""
    print(f"tas {command}: warning: {text}", file=sys.stderr)


def warn_uncounted(command: str, name: str, network: nn.Module, input_shape: Sequence[int]) -> None:
    """Warn if a network has multiply-adds that no budget holds; input_shape is (C, H, W) of one image."""
    missed = uncounted(network, input_shape)
    if missed > 0.001:
        warn(command, f"{missed:.1%} of the FLOPs of {name} are in no convolution or linear layer; none counts them")
