"""Networks: those that TAS knows by name, plain ones: nothing in them knows of search."""

from torch import nn

from tas.errors import TasError, did_you_mean
from tas.networks.cifar_mobilenet import CifarMobileNetV2
from tas.networks.cifar_resnet import BasicBlock, Bottleneck, CifarResNet, ResNetSpec
from tas.networks.library import is_library_name, library_names, open_library_network

NETWORKS = {
    "resnet20": ResNetSpec(3, BasicBlock),
    "resnet32": ResNetSpec(5, BasicBlock),
    "resnet44": ResNetSpec(7, BasicBlock),
    "resnet56": ResNetSpec(9, BasicBlock),
    "resnet110": ResNetSpec(18, BasicBlock),
    "resnet164": ResNetSpec(18, Bottleneck),
}
"""The CIFAR ResNets."""

OTHERS = {"mobilenetv2": CifarMobileNetV2}
"""Name -> what makes the network of classes and channels."""


def network_names() -> list[str]:
    """Every name that `open_network` takes, but for functions of one's own."""
    return [*NETWORKS, *OTHERS, *library_names()]


def meant(name: str) -> str:
    """', did you mean ...?' for a name that is not known: that of a library's network without the library, or one that
    is written alike."""
    of_library = [known for known in library_names() if known.partition("/")[2] == name]
    return f", did you mean {of_library[0]!r}?" if of_library else did_you_mean(name, [*NETWORKS, *OTHERS])


def network_spec(name: str) -> ResNetSpec:
    """The CIFAR ResNet of that name; a name that is not known raises a TasError which lists those that are."""
    if not isinstance(name, str) or name not in NETWORKS:
        known = f"{', '.join([*NETWORKS, *OTHERS])}, torchvision/NAME, timm/NAME, package.module:factory"
        raise TasError(f"unknown network {name!r}{meant(str(name))}; known: {known}")
    return NETWORKS[name]


def name_of(network: nn.Module) -> str:
    """The name by which a network like this can be made again: one of NETWORKS, or MODULE:CLASS."""
    known = [name for name, spec in NETWORKS.items() if getattr(network, "spec", None) == spec]
    known += [name for name, kind in OTHERS.items() if type(network) is kind]
    return known[0] if known else f"{type(network).__module__}:{type(network).__qualname__}"


def check_name(name: str) -> None:
    """TasError unless a name can be a network's; whether a library has it is seen when it is opened."""
    if not (isinstance(name, str) and (name in OTHERS or is_library_name(name))):
        network_spec(name)


def open_network(name: str, num_classes: int, in_channels: int = 3) -> nn.Module:
    """An unpruned network by name, freshly initialised. TasError if there is none, or it cannot be made.

    Args:
        name: resnet20 ... resnet164, mobilenetv2, torchvision/NAME, timm/NAME or package.module:factory.
        num_classes: Length of the logits.
        in_channels: Channels of the images.
    """
    if is_library_name(name):
        return open_library_network(name, num_classes, in_channels)
    if name in OTHERS:
        return OTHERS[name](num_classes, in_channels)
    spec = network_spec(name)
    return CifarResNet(spec, spec.full_widths(), spec.full_depths(), num_classes, in_channels)
