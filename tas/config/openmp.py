"""How the threads of the CPU wait for one another."""

import os

SPINS = "20000"
"""Turns that a thread waits in a loop before it sleeps. GNU's OpenMP, which torch's wheels for Linux have, takes
300,000 of itself; where other programs use the cores too, threads then wait in turn for one that is not running, and a
step can take many times as long. With none at all, a step on free cores takes up to twice as long. docs/speed.md has
figures."""


def wait_briefly() -> None:
    """Make waiting threads sleep soon, unless the environment says how they are to wait. Must come before torch loads.

    What is computed stays the same to the last bit.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
