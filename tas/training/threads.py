"""How many threads of the CPU a training uses."""

import os

import torch

from tas.architecture import Architecture
from tas.cost.measures import MEASURES
from tas.reading.plan import Plan

SMALL = 16e6
"""Multiply-adds of a layer for a batch, on average, below which a second thread gains nothing where the cores are free,
and loses much where they are not (docs/speed.md)."""

ALL = torch.get_num_threads()
"""Those that torch takes of itself: one a core."""


def choose_threads(plan: Plan, full: Architecture, batch_size: int) -> None:
    """One thread where layers and batches are small, else all; as OMP_NUM_THREADS says where that is set.

    Args:
        plan, full: The unpruned network's.
        batch_size: Images in a batch.
    """
    if "OMP_NUM_THREADS" in os.environ or torch.accelerator.is_available():
        return
    each = MEASURES["flops"].exact(plan, full) * batch_size / max(1, len(plan.layers))
    torch.set_num_threads(1 if each < SMALL else ALL)
