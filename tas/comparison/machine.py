"""What a comparison was carried out on: times mean nothing without it."""

import os
from dataclasses import dataclass

import torch

from tas.comparison.processes import processors
from tas.config import CompareOptions


@dataclass(frozen=True)
class Hardware:
    """What the last command of a comparison had; runs that were finished before may have had another."""

    jobs: int
    """Runs at once."""
    ray: str | None
    """The Ray cluster, whose nodes may be other machines than this one."""
    processors: int
    """Processor cores that this process may use."""
    threads: int
    """Of torch in each run, on the processor."""
    gpu: str | None
    """The GPU's name; None without one."""
    torch: str
    """Its version."""

    def __str__(self) -> str:
        has = f"{self.processors} processor cores, {self.gpu or 'no GPU'}, torch {self.torch}"
        if self.ray:
            return f"on the Ray cluster {self.ray}, asked from a machine with {has}"
        return f"{self.jobs} at once, {self.threads} threads each, on a machine with {has}"


def this_machine(options: CompareOptions) -> Hardware:
    """What a command with these options has."""
    cores = processors()
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit():
        threads = int(given)
    else:
        threads = max(1, cores // options.jobs) if options.jobs > 1 else torch.get_num_threads()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return Hardware(options.jobs, options.ray, cores, threads, gpu, torch.__version__)
