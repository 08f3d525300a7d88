"""8-bit networks by ONNX Runtime's own static quantisation."""

import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static
from torch import Tensor
from torch.utils.benchmark import Timer

from tas.data.loaders import Batch
from tas.exports.formats import quietly

TURNS = 30
"""In which the two files are timed by turns."""


@dataclass(frozen=True)
class Served:
    """How good and how fast a file is, by ONNX Runtime on the CPU."""

    accuracy: float
    """On all test images, from 0 to 1."""
    milliseconds: float
    """Of one image, the median."""
    bytes: int


class Calibration(CalibrationDataReader):  # type: ignore[misc]  # untyped
    """Training images, from which the ranges of activations are taken.

    Args:
        batches: As the network takes them.
    """

    def __init__(self, batches: Iterable[Tensor]) -> None:
        self.batches: Iterator[Tensor] = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """The next batch by the name of the file's input; None after the last."""
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch.numpy()}


def quantise(file: Path, to: Path, batches: Iterable[Tensor]) -> None:
    """Write an ONNX file with weights and activations of 8 bits, a scale for each output channel.

    Args:
        file: In single precision.
        to: The new one.
        batches: Training images as the file takes them.
    """
    with tempfile.TemporaryDirectory() as place, quietly():
        prepared = Path(place, "prepared.onnx")
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(to),
            Calibration(batches),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def served(files: list[Path], test: Iterable[Batch], one: Tensor) -> list[Served]:
    """How good and how fast files are, timed by turns.

    Args:
        files: ONNX files.
        test: All test images as the files take them, and their classes.
        one: A single such image.
    """
    sessions = [onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]) for file in files]
    right, seen = [0] * len(files), 0
    for images, labels in test:
        seen += len(labels)
        for place, session in enumerate(sessions):
            logits = session.run(None, {"images": images.numpy()})[0]
            right[place] += int((logits.argmax(1) == labels.numpy()).sum())
    given = {"images": np.ascontiguousarray(one.numpy())}
    timers = [Timer("run(None, given)", globals={"run": session.run, "given": given}) for session in sessions]
    runs = max(1, round(0.02 / timers[0].timeit(5).mean))
    times = [[timer.timeit(runs).mean for timer in timers] for _ in range(TURNS)]
    medians = [statistics.median(column) for column in zip(*times)]
    return [
        Served(count / seen, 1e3 * seconds, file.stat().st_size)
        for count, seconds, file in zip(right, medians, files, strict=True)
    ]
