"""What a comparison has to show."""

from collections.abc import Sequence
from dataclasses import dataclass

from tas.comparison.agreement import Agreement
from tas.comparison.jobs import Job, stands_apart
from tas.comparison.machine import Machine
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
    machine: Machine

    def comparable(self) -> list[Row]:
        """The rows of networks that are smaller, and of the unpruned one."""
        return [row for row in self.rows if not stands_apart(self.options, row.method)]

    def differences(self) -> list[Difference]:
        """How the methods differ from the controls."""
        return differences(self.comparable(), self.options.controls)
