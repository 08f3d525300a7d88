"""The one value that a search hands to training: which network, how wide each convolution, how deep each stage."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tas.errors import TasError, blame, did_you_mean, shown
from tas.inputs.json_text import read_json

MOST_CLASSES, MOST_CHANNELS, MOST_PIXELS = 100_000, 4096, 4096
"""What classes, image channels and heights of images may be: a network, or an image, is made for as many."""

WIDEST, MOST_NAMES, LONGEST_NAME = 2**20, 10_000, 500
"""Channels of a layer; widths, or stages, of a network; letters of a name. Above these a file is not meant as an
architecture."""


@dataclass(frozen=True)
class Architecture:
    """The chosen widths and depths of a network.

    Every instance is checked: it has a network's name, and its numbers are whole, positive, and no larger than networks
    are. Whether the network has these widths and depths is checked when it is built. What is wrong raises a TasError.
    """

    network: str
    """Name of the network it was cut from, e.g. "resnet56" or "torchvision/resnet50"."""
    num_classes: int
    """Length of the logits."""
    in_channels: int
    """Channels of the images."""
    image_size: int
    """Height and width, in pixels, of the images with which the network was read."""
    widths: Mapping[str, int]
    """Width -> channels, in forward order. A width is named for the first layer that has it as its outputs. Widths of
    blocks that are not kept are listed and ignored."""
    depths: Mapping[str, int]
    """Stage -> blocks kept, from the first."""

    def __post_init__(self) -> None:
        if not isinstance(self.network, str) or not self.network:
            raise TasError(f"network is {shown(self.network)}; it must be a network's name")
        check_length("network", self.network)
        check_count("num_classes", self.num_classes, MOST_CLASSES)
        check_count("in_channels", self.in_channels, MOST_CHANNELS)
        check_count("image_size", self.image_size, MOST_PIXELS)
        check_counts("widths", self.widths)
        check_counts("depths", self.depths)

    def __str__(self) -> str:
        """A table of the depths and widths; widths of blocks that are not kept are marked."""
        size = f"{self.in_channels}x{self.image_size}x{self.image_size}"
        columns = max(map(len, (*self.widths, *self.depths)), default=0)
        stages = [f"  {name:<{columns}}  {depth}" for name, depth in self.depths.items()]
        widths = []
        for name, width in self.widths.items():
            stage = self.left_out_with(name)
            widths.append(f"  {name:<{columns}}  {width}{f'  not there: {stage} ends before it' if stage else ''}")
        lines = [f"{self.network}, {self.num_classes} classes, images of {size}"]
        lines += [*(["blocks kept", *stages] if stages else []), *(["channels", *widths] if widths else [])]
        return "\n".join(lines)

    def left_out_with(self, width: str) -> str | None:
        """The stage that ends before the block of a width; None if the width is there, as far as names tell.

        A stage is named for the container of its blocks, and where it is a part of them for the first and the last:
        "stage1", "features.2-4". Blocks that have names instead of numbers are not told apart.
        """
        for stage, depth in self.depths.items():
            part = re.fullmatch(r"(?:(.+)\.)?(\d+)-\d+", stage)
            container, first = (part[1], int(part[2])) if part else (stage, 0)
            block = re.match(rf"{re.escape(container)}\.(\d+)(\.|$)" if container else r"(\d+)(\.|$)", width)
            last = int(stage.rpartition("-")[2]) if part else None
            if block and int(block[1]) >= first + depth and (last is None or int(block[1]) <= last):
                return stage
        return None

    def with_counts(self, widths: Mapping[str, int], depths: Mapping[str, int]) -> "Architecture":
        """The same network with other widths and depths."""
        return replace(self, widths=widths, depths=depths)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Architecture":
        """Read a JSON file that `save` wrote. TasError, naming the file, if it does not hold an architecture."""
        fields = read_json(path)
        known = list(cls.__dataclass_fields__)
        if not isinstance(fields, dict) or set(fields) != set(known):
            raise TasError(f"{path}: not an architecture; it must hold exactly the keys {', '.join(known)}")
        with blame(str(path)):
            return cls(**fields)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; `load` reads it back equal."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def check_length(key: str, name: object) -> None:
    """Raise a TasError if a name is no text, or too long to be one."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        raise TasError(f"{key} has the name {shown(name)}; a name is text of up to {LONGEST_NAME} letters")


def check_count(key: str, count: object, most: int) -> None:
    """Raise a TasError unless `count` is a whole number from 1 up, and not above `most`."""
    if type(count) is not int or count < 1:
        raise TasError(f"{key} is {shown(count)}; it must be a whole number from 1 up")
    if count > most:
        raise TasError(f"{key} is {shown(count)}; it may be {most:,} at most")


def check_counts(key: str, counts: object) -> None:
    """Raise a TasError unless `counts` maps names to whole numbers from 1 up."""
    if not isinstance(counts, Mapping):
        raise TasError(f"{key} must map names to whole numbers")
    if len(counts) > MOST_NAMES:
        raise TasError(f"{key} has {len(counts):,} names; it may have {MOST_NAMES:,} at most")
    for name, count in counts.items():
        check_length(key, name)
        check_count(f"{key}[{name!r}]", count, WIDEST)


def check_within(key: str, counts: Mapping[str, int], full: Mapping[str, int]) -> None:
    """Raise a TasError unless `counts` gives each name of `full` a number from 1 to the full one, and no other name."""
    for name in counts:
        if name not in full:
            raise TasError(f"{key} names {name!r}, which the network does not have{did_you_mean(str(name), full)}")
    for name, most in full.items():
        if name not in counts:
            raise TasError(f"{key} lacks {name!r}, which the network has")
        if not 1 <= counts[name] <= most:
            raise TasError(f"{key}[{name!r}] is {counts[name]!r}; the network allows 1 to {most}")
