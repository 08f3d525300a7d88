"""What images a network was trained on, as a run's images.json has it."""

import json
from pathlib import Path
from typing import Any

from tas.errors import TasError, explained


def read_description(file: Path) -> dict[str, Any]:
    """The content of an images.json, as `ImageData.described` makes it. TasError if it is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = {key: content[key] for key in ("channels", "size", "mean", "deviation", "classes")}
        found["fit"] = content.get("fit", "scale")  # earlier runs say nothing of it
        if found["fit"] not in ("scale", "crop"):
            raise ValueError("fit must be scale or crop")
        if not len(found["mean"]) == len(found["deviation"]) == found["channels"]:
            raise ValueError("mean and deviation must have a number for each channel")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TasError(f"{file}: cannot be read ({explained(error)})") from None
    return found
