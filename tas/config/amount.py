"""What a network may keep of a cost: a share of the unpruned network's, or a count of its own."""

import re
from dataclasses import dataclass
from decimal import Decimal

from tas.config.checks import inside

AMOUNTS = "a share above 0, at most 1, or a number with k, M or G, e.g. 40M"
"""What is allowed."""

UNITS = {"G": 10**9, "M": 10**6, "k": 10**3}
"""The largest first. K is taken for k too; m and g, which stand for other things elsewhere, are not."""


@dataclass(frozen=True)
class Amount:
    """One target, as it was given. What it comes to follows from what the unpruned network costs."""

    value: float
    """A share, or a count in units of the measure: multiply-adds for one image, parameters."""
    absolute: bool = False
    """Whether it is a count."""

    @classmethod
    def read(cls, key: str, given: float | str) -> "Amount":
        """The amount that an option has. TasError, naming its flag, if it is none."""
        if not isinstance(given, str):
            inside(key, given, 0 < given <= 1, AMOUNTS)
            return cls(given)
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?([kKMG])", given.strip())
        count = Decimal(found[1]) * UNITS[found[2].replace("K", "k")] if found else Decimal()
        inside(key, given, 0 < count < 10**18, AMOUNTS)
        return cls(float(count), absolute=True)

    def cost(self, full: int) -> float:
        """What it comes to where the unpruned network costs `full`, in units of the measure."""
        return self.value if self.absolute else self.value * full

    def share(self, full: int) -> float:
        """The same as a share of `full`."""
        return self.value / full if self.absolute else self.value

    @property
    def given(self) -> float | str:
        """The option that is read as this."""
        return str(self) if self.absolute else self.value

    def __str__(self) -> str:
        """As people write it, a share to six digits: 0.5, 40M. What folders of comparisons are named for."""
        if not self.absolute:
            return f"{self.value:g}"
        unit = next((unit for unit, size in UNITS.items() if self.value >= size), "k")
        return f"{(Decimal(str(self.value)) / UNITS[unit]).normalize():f}{unit}"
