"""The unpruned network of a task, fresh or with trained weights, and its plan."""

from dataclasses import dataclass

from torch import nn

from tas.architecture import Architecture
from tas.errors import TasError, blame
from tas.networks import NETWORKS, open_network
from tas.networks.library import fill, pretrained_network, read_weights
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
