"""What images a network was trained on, as a run's images.json has it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tas.architecture import MOST_CHANNELS, MOST_CLASSES, MOST_PIXELS
from tas.data.preparation import Fit
from tas.errors import TasError, gist
from tas.inputs.json_text import read_json
from tas.inputs.schema import made_of_json


@dataclass(frozen=True)
class Description:
    """The content of an images.json, as `ImageData.described` makes it."""

    channels: int
    size: int
    mean: Sequence[float]
    deviation: Sequence[float]
    classes: Sequence[str]
    fit: Fit = "scale"
    """Earlier runs say nothing of it."""

    def __post_init__(self) -> None:
        if not (1 <= self.channels <= MOST_CHANNELS and 1 <= self.size <= MOST_PIXELS):
            raise ValueError(f"channels go from 1 to {MOST_CHANNELS}, size from 1 to {MOST_PIXELS}")
        if not len(self.mean) == len(self.deviation) == self.channels:
            raise ValueError("mean and deviation must have a number for each channel")
        if not all(map(math.isfinite, self.mean)) or not all(0 < one < math.inf for one in self.deviation):
            raise ValueError("mean and deviation must be finite numbers, the deviation above 0")
        if len(self.classes) > MOST_CLASSES:
            raise ValueError(f"it has more than {MOST_CLASSES} classes")


def read_description(file: Path) -> dict[str, Any]:
    """The content of an images.json: the fields of a `Description`, by name. TasError if it is damaged."""
    content = read_json(file)
    try:
        known = content if not isinstance(content, dict) else {
            key: value for key, value in content.items() if key in Description.__dataclass_fields__
        }  # fmt: skip
        found = made_of_json(Description, known)
    except ValueError as error:
        raise TasError(f"{file}: cannot be read ({gist(error)})") from None
    return dict(vars(found))
