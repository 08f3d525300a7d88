"""From an architecture to the plain network that it describes."""

import torch
from torch import nn

from tas.architecture import Architecture
from tas.cutting.cut import Resizable, cut
from tas.errors import blame
from tas.networks import open_network
from tas.reading.readers import read_plan


def build(architecture: Architecture) -> nn.Module:
    """The plain network of an architecture, freshly initialised.

    It maps images (N, in_channels, H, W) to logits (N, num_classes). The unpruned network is made by its name, and the
    architecture is cut out of it, or made by the network itself where it can do that.

    Raises:
        TasError: The network cannot be made, or has not the widths and depths that the architecture names.
    """
    a, before = architecture, torch.get_rng_state()
    network = open_network(a.network, a.num_classes, a.in_channels)
    if isinstance(network, Resizable):
        torch.set_rng_state(before)  # its weights are its own, as if the unpruned network had not been made
        with blame(f"the architecture of {a.network}"):
            return network.resized(a.widths, a.depths)
    plan = read_plan(network, (a.in_channels, a.image_size, a.image_size), a.network)
    return cut(network, plan, a)
