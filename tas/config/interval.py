"""How often something is done: every so many steps, or after so much time."""

import math
import re
from dataclasses import dataclass
from typing import Self

from tas.config.checks import inside

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
"""Of time, in seconds."""


@dataclass(frozen=True)
class Interval:
    """Whichever of both comes first."""

    steps: float = math.inf
    seconds: float = math.inf

    @classmethod
    def read(cls, key: str, given: str) -> Self:
        """The interval that an option says. TasError, naming its flag, if it is none."""
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?([a-z]+)", given.strip())
        count, unit = (float(found[1]), found[2]) if found else (0.0, "")
        steps = unit in ("step", "steps") and count.is_integer()
        allowed = "a time such as 30s, 10min or 2h, or a whole number of steps such as 500steps"
        inside(key, given, count > 0 and (steps or unit in UNITS), allowed)
        return cls(steps=count) if steps else cls(seconds=count * UNITS[unit])
