"""What changes over a run, as pure functions of its progress from 0 to 1."""

import math


def linear(start: float, end: float, progress: float) -> float:
    """From `start` to `end` along a straight line."""
    return start + (end - start) * progress


def cosine(start: float, progress: float) -> float:
    """From `start` to 0 along half a cosine."""
    return start * 0.5 * (1 + math.cos(math.pi * progress))
