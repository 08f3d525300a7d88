"""A finished run's network and the images that it takes, to ask it of image files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from tas.data.description import read_description
from tas.data.preparation import batch_for
from tas.errors import TasError
from tas.runs.load import load
from tas.runs.run import Run

AT_ONCE = 64
"""Images that are asked for in one batch."""


class Guess(NamedTuple):
    """A class that an image may be of."""

    name: str
    """The class's; where classes have no names, its number."""
    probability: float


def predict(path: str | os.PathLike[str], files: Sequence[str | os.PathLike[str]], top: int = 5) -> list[list[Guess]]:
    """The most probable classes of image files, by the network of a finished run, on the CPU.

    Each image is brought to the size of the run's images and normalised like them.

    Args:
        path: Directory of the run.
        files: Image files.
        top: Classes to tell of each, at most.

    Returns:
        For each file its classes, the most probable first.

    Raises:
        TasError: The run is not finished, or an earlier version's that says nothing of its images; a file is no image.
    """
    run, network = Run(path), load(path)
    if not run.images.is_file():
        raise TasError(f"{path}: has no {run.images.name}, which says what its images are like; train it again")
    images, found = read_description(run.images), []
    for start in range(0, len(files), AT_ONCE):
        batch = batch_for([Path(file) for file in files[start : start + AT_ONCE]], images)
        with torch.inference_mode():
            probabilities = network(batch).softmax(1)
        names = images["classes"] or [str(number) for number in range(probabilities.shape[1])]
        values, places = probabilities.topk(min(top, probabilities.shape[1]), 1)
        for row, order in zip(values.tolist(), places.tolist()):
            found.append([Guess(names[place], value) for place, value in zip(order, row)])
    return found
