"""The one value that a search hands to training: which network, how wide each convolution, how deep each stage."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tas.errors import TasError, blame, did_you_mean
from tas.networks import check_name, network_spec
from tas.networks.library import is_library_name


@dataclass(frozen=True)
class Architecture:
    """The chosen widths and depths of a network.

    Every instance is checked: it has a network's name, and its numbers are whole and positive. Of a network that is
    written here, each convolution and stage is listed, and none is wider or deeper than the unpruned network's; for
    any other that is checked when it is built. What is wrong raises a TasError.
    """

    network: str
    """Name of the network it was cut from, e.g. "resnet56" or "torchvision/resnet50"."""
    num_classes: int
    """Length of the logits."""
    in_channels: int
    """Channels of the images."""
    widths: Mapping[str, int]
    """Width -> channels, in forward order. A width is named for the first layer that has it as its outputs. Widths of
    blocks that are not kept are listed and ignored."""
    depths: Mapping[str, int]
    """Stage -> blocks kept, from the first."""
    image_size: int | None = None
    """Height and width, in pixels, of the images with which the network was read; None for the CIFAR ResNets, whose
    structure is known."""

    def __post_init__(self) -> None:
        check_name(self.network)
        check_count("num_classes", self.num_classes)
        check_count("in_channels", self.in_channels)
        if is_library_name(self.network):
            check_count("image_size", self.image_size)
            check_counts("widths", self.widths, None, self.network)
            check_counts("depths", self.depths, None, self.network)
        else:
            spec = network_spec(self.network)
            if self.image_size is not None:
                raise TasError(f"image_size is {self.image_size!r}; {self.network} has none")
            check_counts("widths", self.widths, spec.full_widths(), self.network)
            check_counts("depths", self.depths, spec.full_depths(), self.network)

    @classmethod
    def full(cls, network: str, num_classes: int, in_channels: int = 3) -> "Architecture":
        """The unpruned CIFAR ResNet of that name; `tas.search_space` reads any other network."""
        spec = network_spec(network)
        return cls(network, num_classes, in_channels, spec.full_widths(), spec.full_depths())

    def with_counts(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> "Architecture":
        """The same network with other widths and depths."""
        return replace(self, widths=widths, depths=depths)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Architecture":
        """Read a JSON file that `save` wrote. TasError, naming the file, if it does not hold an architecture."""
        try:
            fields = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise TasError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, RecursionError) as error:
            raise TasError(f"{path}: not a whole JSON file ({error})") from None
        known = list(cls.__dataclass_fields__)
        if not isinstance(fields, dict) or {*fields, "image_size"} != set(known):
            raise TasError(f"{path}: not an architecture; it must hold exactly the keys {', '.join(known)}")
        with blame(str(path)):
            return cls(**fields)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; `load` reads it back equal."""
        fields = {key: value for key, value in asdict(self).items() if value is not None}
        Path(path).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")


def check_count(key: str, count: object) -> None:
    """Raise a TasError unless `count` is a whole number from 1 up."""
    if type(count) is not int or count < 1:
        raise TasError(f"{key} is {count!r}; it must be a whole number from 1 up")


def check_counts(key: str, counts: object, full: Mapping[str, int] | None, network: str) -> None:
    """Raise a TasError unless `counts` gives each name of `full` a whole number from 1 to the full one.

    Without `full`, any names will do, and any whole numbers from 1 up.
    """
    if not isinstance(counts, Mapping):
        raise TasError(f"{key} must map names to whole numbers")
    for name, count in counts.items():
        if full is None:
            check_count(f"{key}[{name!r}]", count)
        elif name not in full:
            raise TasError(f"{key} names {name!r}, which {network} does not have{did_you_mean(str(name), full)}")
    for name, most in (full or {}).items():
        if name not in counts:
            raise TasError(f"{key} lacks {name!r} of {network}")
        if type(counts[name]) is not int or not 1 <= counts[name] <= most:
            raise TasError(f"{key}[{name!r}] is {counts[name]!r}; {network} allows 1 to {most}")
