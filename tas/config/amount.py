"""What a network may keep of a cost: a share of the unpruned network's, or a count of its own."""

import re
from dataclasses import dataclass
from decimal import Decimal

from tas.config.checks import inside

COUNTS = {"G": 10**9, "M": 10**6, "k": 10**3}
"""Units of what is counted, the largest first. K is taken for k too; m and g, which stand for other things elsewhere,
are not."""

SIZES = {"GB": 10**9, "MB": 10**6, "kB": 10**3}
"""Units of memory, in bytes."""

TIMES = {"s": 10**9, "ms": 10**6, "us": 10**3}
"""Units of times, in nanoseconds."""

ANY_SHARE = "a share above 0, at most 1, or "

AMOUNTS = ANY_SHARE + "a number with k, M or G, e.g. 40M"
"""What is allowed of what is counted."""

TIMED_AMOUNTS = ANY_SHARE + "a time with s, ms or us, e.g. 3.5ms"
"""What is allowed of times."""

SIZED_AMOUNTS = ANY_SHARE + "bytes with kB, MB or GB, e.g. 500kB"
"""What is allowed of memory."""

KINDS_OF_AMOUNTS = {"latency": (TIMES, TIMED_AMOUNTS), "memory": (SIZES, SIZED_AMOUNTS)}
"""Measure -> its units, and what is allowed; all others are counted."""


@dataclass(frozen=True)
class Amount:
    """One target, as it was given. What it comes to follows from what the unpruned network costs."""

    value: float
    """A share, or a count in units of the measure: multiply-adds for one image, parameters, bytes."""
    absolute: bool = False
    """Whether it is a count, a time or a size."""
    measure: str | None = None
    """Of what it is, where that has units of its own."""

    @classmethod
    def read(cls, key: str, given: float | str) -> "Amount":
        """The amount that an option MEASURE_target(s) has. TasError, naming its flag, if it is none."""
        measure = next((one for one in KINDS_OF_AMOUNTS if key.startswith(one)), None)
        units, allowed = KINDS_OF_AMOUNTS[measure] if measure else (COUNTS, AMOUNTS)
        if not isinstance(given, str):
            inside(key, given, 0 < given <= 1, allowed)
            return cls(given, measure=measure)
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+) ?([a-zA-Z]+)", given.strip())
        unit = units.get(found[2].replace("K", "k")) if found else None
        count = Decimal(found[1]) * unit if found and unit else Decimal()
        inside(key, given, 0 < count < 10**18, allowed)
        return cls(float(count), absolute=True, measure=measure)

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
        units = KINDS_OF_AMOUNTS[self.measure][0] if self.measure else COUNTS
        unit = next((unit for unit, size in units.items() if self.value >= size), list(units)[-1])
        return f"{(Decimal(str(self.value)) / units[unit]).normalize():f}{unit}"
