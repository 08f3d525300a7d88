"""What a comparison has to show."""

from collections.abc import Sequence
from dataclasses import dataclass

from tas.comparison.agreement import Agreement
from tas.comparison.jobs import Job
from tas.comparison.machine import Hardware
from tas.comparison.methods import methods_of
from tas.comparison.rows import Row
from tas.comparison.scheduler import Outcome
from tas.comparison.statistics import Difference, differences
from tas.config import CompareOptions


@dataclass(frozen=True)
class Evidence:
    """What a comparison has to show."""

    options: CompareOptions
    jobs: Sequence[Job]
    rows: Sequence[Row]
    agreements: Sequence[Agreement]
    outcome: Outcome
    machine: Hardware

    def apart(self) -> set[str]:
        """The methods that leave no smaller network, and are not to be compared with those that do."""
        return {name for name, own in methods_of(self.options).items() if own.leaves_zeros}

    def comparable(self) -> list[Row]:
        """The rows of networks that are smaller, and of the unpruned one."""
        return [row for row in self.rows if row.method not in self.apart()]

    def differences(self) -> list[Difference]:
        """How the methods differ from the controls."""
        return differences(self.comparable(), self.options.controls)
