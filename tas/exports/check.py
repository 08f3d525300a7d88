"""Whether an exported file computes what its network does: loaded again in a process of its own, on real images."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tas.errors import TasError
from tas.exports.formats import FORMATS, multiply_adds_of

TOLERATED = 1e-4
"""How far logits may be apart, as a share of the largest, or by themselves where that is below 1."""


@dataclass(frozen=True)
class Parity:
    """How much a file's logits are like its network's."""

    images: int
    difference: float
    """The largest, of all logits."""
    alike: int
    """Images of which both tell the same class."""
    multiply_adds: int
    """Of one image, counted in the file."""


def outputs_of(kind: str, file: Path, batch: Tensor) -> Tensor:
    """The logits of a file, by a process that loads it afresh. TasError if it cannot.

    Args:
        kind: Its format.
        file: The file.
        batch: What it takes.
    """
    with tempfile.TemporaryDirectory() as place:
        images, logits = Path(place, "images.npy"), Path(place, "logits.npy")
        np.save(images, batch.numpy())
        # Beside the script, not in it, is where Python looks for modules: of TAS's own none is in reach by accident.
        script = Path(__file__).with_name(FORMATS[kind].reloader)
        command = [sys.executable, str(script), str(file.resolve()), str(images), str(logits)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word of it"])[-1]
            raise TasError(f"--format {kind}: the exported file cannot be loaded again ({last[:200]})")
        return torch.from_numpy(np.load(logits))


def check_parity(kind: str, file: Path, network: nn.Module, batch: Tensor) -> Parity:
    """Compare a file with its network.

    Args:
        kind: Its format.
        file: The file.
        network: In evaluation, on the CPU.
        batch: Real images, as both take them.

    Raises:
        TasError: Logits or classes differ, or the file does more or fewer multiply-adds.
    """
    with torch.no_grad():
        expected = network(batch)
    found = outputs_of(kind, file, batch)
    if found.shape != expected.shape:
        raise TasError(f"--format {kind}: the file gives {tuple(found.shape)}, the network {tuple(expected.shape)}")
    difference = float((found - expected).abs().max())
    alike = int((found.argmax(1) == expected.argmax(1)).sum())
    bound = TOLERATED * max(1.0, float(expected.abs().max()))
    if not difference <= bound or alike < len(batch):
        raise TasError(
            f"--format {kind}: the file's logits differ by {difference:.2g} from the network's (allowed: {bound:.2g}), "
            f"and {len(batch) - alike} of {len(batch)} images are told as another class; nothing is exported"
        )
    own = of_one_more_image(partial(FORMATS[kind].multiply_adds, file), batch)
    one = of_one_more_image(partial(multiply_adds_of, network), batch)
    if own != one:
        raise TasError(f"--format {kind}: the file has {own} multiply-adds, the network {one}; nothing is exported")
    return Parity(len(batch), difference, alike, own)


def of_one_more_image(count: Callable[[Tensor], int], batch: Tensor) -> int:
    """The multiply-adds that an image adds to a batch.

    What a network computes of its weights alone, as tables of positions, is not among them: exporters do it once.

    Args:
        count: Multiply-adds of a batch.
        batch: Some of which the first image is taken.
    """
    one = batch[:1]
    return count(torch.cat([one, one])) - count(one)
