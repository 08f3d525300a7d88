"""The one value that a search hands to training: which network, how wide each convolution, how deep each stage."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from tas.errors import TasError, blame, nearest
from tas.networks import network_spec


@dataclass(frozen=True)
class Architecture:
    """The chosen widths and depths of a network.

    Every instance is valid: it names a known network, lists each of its convolutions and stages, and none is wider or
    deeper than the unpruned network's. Anything else raises a TasError.
    """

    network: str
    """Name of the network it was cut from, e.g. "resnet56"."""
    num_classes: int
    """Length of the logits."""
    in_channels: int
    """Channels of the images."""
    widths: Mapping[str, int]
    """Convolution -> output channels, in forward order, shortcut projections left out (their neighbours fix them).
    Widths of blocks that are not kept are listed and ignored."""
    depths: Mapping[str, int]
    """Stage -> blocks kept, from the first."""

    def __post_init__(self) -> None:
        spec = network_spec(self.network)
        check_count("num_classes", self.num_classes)
        check_count("in_channels", self.in_channels)
        check_counts("widths", self.widths, spec.full_widths(), self.network)
        check_counts("depths", self.depths, spec.full_depths(), self.network)

    @classmethod
    def full(cls, network: str, num_classes: int, in_channels: int = 3) -> "Architecture":
        """The unpruned network."""
        spec = network_spec(network)
        return cls(network, num_classes, in_channels, spec.full_widths(), spec.full_depths())

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
        if not isinstance(fields, dict) or set(fields) != set(known):
            raise TasError(f"{path}: not an architecture; it must hold exactly the keys {', '.join(known)}")
        with blame(str(path)):
            return cls(**fields)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; `load` reads it back equal."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def build(architecture: Architecture) -> nn.Module:
    """The plain network of an architecture, freshly initialised.

    It maps images (N, in_channels, H, W) to logits (N, num_classes).
    """
    a = architecture
    return network_spec(a.network).build(a.widths, a.depths, a.num_classes, a.in_channels)


def check_count(key: str, count: object) -> None:
    """Raise a TasError unless `count` is a whole number from 1 up."""
    if type(count) is not int or count < 1:
        raise TasError(f"{key} is {count!r}; it must be a whole number from 1 up")


def check_counts(key: str, counts: object, full: Mapping[str, int], network: str) -> None:
    """Raise a TasError unless `counts` gives each name of `full` a whole number from 1 to the full one."""
    if not isinstance(counts, Mapping):
        raise TasError(f"{key} must map names to whole numbers")
    for name in counts:
        if name not in full:
            raise TasError(f"{key} names {name!r}, which {network} does not have{nearest(str(name), full)}")
    for name, most in full.items():
        if name not in counts:
            raise TasError(f"{key} lacks {name!r} of {network}")
        if type(counts[name]) is not int or not 1 <= counts[name] <= most:
            raise TasError(f"{key}[{name!r}] is {counts[name]!r}; {network} allows 1 to {most}")
