"""From an architecture to the plain network that it describes."""

from torch import nn

from tas.architecture import Architecture
from tas.cutting.cut import build_resnet, cut
from tas.networks import NETWORKS, open_network
from tas.reading.readers import read_plan


def build(architecture: Architecture) -> nn.Module:
    """The plain network of an architecture, freshly initialised.

    It maps images (N, in_channels, H, W) to logits (N, num_classes). A network that is not written here is made by its
    library or by the user's function, and the architecture is cut out of it.

    Raises:
        TasError: The network cannot be made, or has not the widths and depths that the architecture names.
    """
    a = architecture
    if a.network in NETWORKS:
        return build_resnet(a)
    assert a.image_size is not None  # as Architecture has checked
    network = open_network(a.network, a.num_classes, a.in_channels)
    plan = read_plan(network, (a.in_channels, a.image_size, a.image_size), a.network)
    return cut(network, plan, a)
