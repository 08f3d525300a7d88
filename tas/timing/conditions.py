"""What was measured on: times mean nothing without it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from tas.runs.provenance import code_version, gpu_name, processor_name
from tas.timing.onnx_runtime import runtime_version


@dataclass(frozen=True)
class Conditions:
    """Machine, libraries and threads."""

    processor: str
    cores: int
    """Processor cores that this process may use."""
    load: float | None
    """Programs, on average of the last minute, that wanted a core when measuring began; None where nothing tells."""
    gpu: str | None
    """The accelerator's name; None without one."""
    threads: int
    """Of torch and ONNX Runtime, on the processor."""
    torch: str
    """Its version."""
    onnxruntime: str | None
    """Its version; None where it is not installed."""
    tas: str
    """Its commit, or version."""

    def __str__(self) -> str:
        load = "" if self.load is None else f" (load {self.load:.1f})"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        runtime = f", onnxruntime {self.onnxruntime}" if self.onnxruntime else ""
        machine = f"{self.processor}, {self.cores} cores{load}, {self.gpu or 'no GPU'}"
        return f"{machine}; {threads}, torch {self.torch}{runtime}, tas {self.tas}"


def conditions_here(threads: int) -> Conditions:
    """What this process measures on, with so many threads."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Conditions(
        processor=processor_name(),
        cores=len(affinity(0)) if affinity else os.cpu_count() or 1,
        load=load,
        gpu=gpu_name(),
        threads=threads,
        torch=torch.__version__,
        onnxruntime=runtime_version(),
        tas=code_version().removeprefix("tas "),
    )


def name_of_device(device: torch.device) -> str:
    """What the reader calls it."""
    return {"cpu": "CPU", "cuda": "GPU"}.get(device.type, device.type)


@contextmanager
def threads_of_torch(threads: int) -> Iterator[None]:
    """Have torch use so many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
