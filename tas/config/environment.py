"""What the CPU libraries below torch are told by the environment, which they read once."""

import os

SPINS = "20000"
"""Turns that a thread waits in a loop before it sleeps. GNU's OpenMP, which torch's wheels for Linux have, takes
300,000 of itself; where other programs use the cores too, threads then wait in turn for one that is not running, and a
step can take many times as long. With none at all, a step on free cores takes up to twice as long. docs/speed.md has
figures."""

LAYERS = "16384"
"""Compiled layers that oneDNN keeps, 1,024 of itself. It compiles a convolution for each size that it meets, and the
networks of a search have more of them than that. docs/speed.md has figures."""


def set_environment() -> None:
    """Make waiting threads sleep soon, and keep compiled layers, unless the environment says otherwise.

    Must come before torch loads. What is computed stays the same to the last bit.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", LAYERS)
