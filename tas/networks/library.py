"""Networks that are not written here: torchvision's, timm's, and those that a function of the user's own makes."""

import inspect
import os
import pickle
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torchvision
from torch import nn

from tas.config.functions import import_function, is_own
from tas.errors import TasError, did_you_mean, explained, gist
from tas.networks.numbers import settle_numbers
from tas.networks.weights import fill

LIBRARIES = ("torchvision", "timm")
FORCED = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""What tells torch in the environment to make nothing but tensors and plain values of what it loads."""
FURTHER_OUTPUTS = ("AuxLogits", "aux1", "aux2")
"""Of torchvision's googlenet and inception_v3: a help to train them without batch norm, which is left out here."""


def is_library_name(name: str) -> bool:
    """Whether a name has the form torchvision/NAME, timm/NAME or package.module:factory."""
    return name.partition("/")[0] in LIBRARIES or is_own(name)


def open_library_network(name: str, num_classes: int, in_channels: int) -> nn.Module:
    """A network by its name, freshly initialised. TasError if there is none of that name, or it cannot be made.

    Args:
        name: torchvision/NAME, timm/NAME, or package.module:factory.
        num_classes: Length of the logits.
        in_channels: Channels of the images.
    """
    library, _, rest = name.partition("/")
    if library == "torchvision":
        check_torchvision(rest, in_channels)
        options: dict[str, Any] = {"num_classes": num_classes}
        if rest in ("googlenet", "inception_v3"):
            options |= {"aux_logits": False, "init_weights": True}
        return torchvision.models.get_model(rest, **options)
    if library == "timm":
        return timm_network(rest, num_classes, in_channels, pretrained=False)
    return made_by_factory(name, num_classes, in_channels)


def pretrained_network(name: str, num_classes: int, in_channels: int) -> tuple[nn.Module, bool]:
    """A network with its library's trained weights, which may be downloaded, and whether its classifier has them, too.

    It has not where the library's weights tell other classes apart; then the classifier is fresh. Arguments and errors
    as for `open_library_network`.
    """
    library, _, rest = name.partition("/")
    if library == "torchvision":
        check_torchvision(rest, in_channels)
        with loading(name):
            trained = torchvision.models.get_model(rest, weights="DEFAULT")
        network = open_library_network(name, num_classes, in_channels)
        if hasattr(trained, "transform_input"):
            network.transform_input = trained.transform_input
        state = trained.state_dict().items()
        return network, fill(network, {key: t for key, t in state if key.partition(".")[0] not in FURTHER_OUTPUTS})
    if library == "timm":
        network = timm_network(rest, num_classes, in_channels, pretrained=True)
        config: Any = network.pretrained_cfg
        return network, bool(config["num_classes"] == num_classes)
    raise TasError(
        f"{name} is of no library; --pretrained goes with torchvision/NAME and timm/NAME, else --weights FILE"
    )


def pretrained_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel by which the images were normalised that a library's weights learned from."""
    library, _, rest = name.partition("/")
    if library == "timm":
        config: Any = import_module("timm.models").get_pretrained_cfg(rest)
        return tuple(config.mean), tuple(config.std)
    transforms: Any = torchvision.models.get_model_weights(rest).DEFAULT.transforms()
    return tuple(transforms.mean), tuple(transforms.std)


def torchvision_names() -> list[str]:
    """The classification networks of torchvision."""
    return torchvision.models.list_models(module=torchvision.models)


def timm_names() -> list[str]:
    """The networks of timm; none where it is not installed."""
    return import_module("timm").list_models() if find_spec("timm") else []


def library_names() -> list[str]:
    """The names of all networks of the libraries that are installed."""
    return [*(f"torchvision/{name}" for name in torchvision_names()), *(f"timm/{name}" for name in timm_names())]


def check_torchvision(name: str, in_channels: int) -> None:
    """TasError unless torchvision has a classification network of that name, and it takes such images."""
    known = torchvision_names()
    if name not in known:
        raise TasError(f"torchvision has no classification network {name!r}{did_you_mean(name, known)}")
    if in_channels != 3:
        raise TasError(f"torchvision/{name} takes images of 3 channels; these have {in_channels}")


def timm_network(name: str, num_classes: int, in_channels: int, pretrained: bool) -> nn.Module:
    """A network of timm."""
    known = timm_names()
    if not known:
        raise TasError(f'timm/{name} needs timm, which is not installed; pip install "tas[timm]"')
    if name.partition(".")[0] not in known:
        raise TasError(f"timm has no network {name!r}{did_you_mean(name, known)}")
    with loading(f"timm/{name}"):
        return import_module("timm").create_model(
            name, pretrained=pretrained, num_classes=num_classes, in_chans=in_channels
        )


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn what a library raises when weights cannot be had into a TasError.

    Of a file, which may have lain in the library's cache for long, nothing but tensors is made: torchvision does not
    ask torch for that.
    """
    before = os.environ.get(FORCED)
    os.environ[FORCED] = "1"
    try:
        with warnings.catch_warnings():  # before it is refused
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            yield
    except pickle.UnpicklingError:
        raise TasError(f"{what}: its weights are more than tensors, and are not loaded") from None
    except (OSError, RuntimeError, ValueError) as error:
        raise TasError(f"{what}: its weights cannot be loaded ({gist(error)})") from None
    finally:
        if before is None:
            del os.environ[FORCED]
        else:
            os.environ[FORCED] = before


def made_by_factory(name: str, num_classes: int, in_channels: int) -> nn.Module:
    """What a function of the user's own makes; it is told the classes and the channels if it takes these names."""
    factory = import_function(name, "function or class that makes a network")
    offered = {"num_classes": num_classes, "in_channels": in_channels}
    try:
        taken = inspect.signature(factory).parameters
        network = factory(**{key: value for key, value in offered.items() if key in taken})
    except Exception as error:  # it is the user's code
        raise TasError(f"{name} cannot be called ({explained(error)})") from None
    if not isinstance(network, nn.Module):
        raise TasError(f"{name} returned a {type(network).__name__}; it must return an nn.Module")
    settle_numbers(network, name)
    return network
