"""The unpruned network of a task, fresh or with trained weights, and its plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from tas.architecture import Architecture
from tas.config.groups import Source
from tas.data.augmentation import Normalise
from tas.data.description import read_description
from tas.data.images import ImageData
from tas.errors import TasError, blame
from tas.networks import open_network
from tas.networks.library import pretrained_network, pretrained_statistics
from tas.networks.weights import load_weights
from tas.reading.layer_calls import failure_in_training
from tas.reading.plan import Plan
from tas.reading.readers import read_plan


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


def original_for(data: ImageData, source: Source, blamed: str = "--network") -> Original:
    """The unpruned network for a data set, whose images are from now on normalised as its weights expect.

    Arguments and errors as for `open_original`; TasError also where it cannot learn by the data's batches.
    """
    original = open_original(source, data.num_classes, data.input_shape, blamed)
    check_batch_size(original, data)
    normalise_as(data, source)
    return original


def check_batch_size(original: Original, data: ImageData) -> None:
    """TasError where a network learns by several images at once, and a batch has one: norms of maps of 1x1."""
    if data.batch_size == 1 and failure_in_training(original.network, data.input_shape) is None:
        failure = failure_in_training(original.network, data.input_shape, images=1)
        if failure is not None:
            name = original.full.network
            raise TasError(f"--batch-size 1: {name} does not learn by single images ({failure}); give at least 2")


def normalise_as(data: ImageData, source: Source) -> None:
    """Normalise images as those that given weights learned from, where their library or run says how."""
    if source.pretrained:
        mean, deviation = pretrained_statistics(source.name)
        if data.in_channels == 1:  # timm adds up the weights of the three channels
            mean, deviation = (sum(mean) / len(mean),), (sum(deviation) / len(deviation),)
    elif source.weights is not None and Path(source.weights, "images.json").is_file():
        images = read_description(Path(source.weights, "images.json"))
        mean, deviation = tuple(images["mean"]), tuple(images["deviation"])
    else:
        return
    if len(mean) == data.in_channels:
        data.statistics = Normalise(mean, deviation)


def open_original(source: Source, num_classes: int, input_shape: Sequence[int], blamed: str = "--network") -> Original:
    """The unpruned network for images and classes, fresh or with trained weights, and its structure.

    Args:
        source: Which network, and which weights.
        num_classes: Classes of the images.
        input_shape: (C, H, W) of one image, a square.
        blamed: The flag that names the network.

    Raises:
        TasError: The network cannot be made or read, tells other classes apart, or the weights are not its own.
    """
    name, in_channels = source.name, input_shape[0]
    with blame(blamed):
        complete = False
        if source.pretrained:
            network, complete = pretrained_network(name, num_classes, in_channels)
        else:
            network = open_network(name, num_classes, in_channels)
        plan = read_plan(network, input_shape, name)
        if plan.logits != num_classes:
            raise TasError(
                f"{name} tells {plan.logits} classes apart, the images have {num_classes}; "
                "let its function take num_classes"
            )
    words = f"the weights of {name.partition('/')[0]}" if source.pretrained else "fresh weights"
    if source.weights is not None:
        with blame(f"--weights {source.weights}"):
            complete, words = load_weights(network, source.weights)
    if source.trained and not complete:
        words += f", with a fresh classifier for {num_classes} classes"
    full = Architecture(name, num_classes, in_channels, input_shape[1], plan.widths, plan.depths())
    return Original(network, plan, full, source.trained, complete, words)
