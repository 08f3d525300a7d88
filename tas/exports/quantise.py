"""8-bit networks by ONNX Runtime's own static quantisation."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static
from torch import Tensor

from tas.data.loaders import Batch
from tas.exports.formats import quietly


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


def accuracies(sessions: Sequence[onnxruntime.InferenceSession], test: Iterable[Batch]) -> list[float]:
    """How good files are, from 0 to 1.

    Args:
        sessions: What runs them.
        test: All test images as the files take them, and their classes.
    """
    right, seen = [0] * len(sessions), 0
    for images, labels in test:
        seen += len(labels)
        for place, session in enumerate(sessions):
            logits = session.run(None, {"images": images.numpy()})[0]
            right[place] += int((logits.argmax(1) == labels.numpy()).sum())
    return [count / seen for count in right]
