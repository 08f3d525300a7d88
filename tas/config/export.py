"""The options of `tas export`."""

from dataclasses import dataclass, field
from typing import Literal

from tas.config.checks import at_least, inside
from tas.config.groups import OTHER_RUN, WHERE
from tas.config.options import Options
from tas.errors import TasError


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Write a run's network as a file that other programs run, and check that it computes the same."""

    run: str | None = field(default=None, metadata=OTHER_RUN)
    """The finished run; its directory may stand first, without the flag."""
    format: str = "onnx"
    """onnx, torch (a program of torch.export), safetensors (the weights, and how the network is made of them),
    openvino, or python (code that makes the network, and its weights: of resnet20 ... resnet164 and mobilenetv2)."""
    with_preprocessing: bool = False
    """Let the file take bytes, 0 to 255, as uint8, and normalise them itself."""
    quantize: Literal["int8"] | None = None
    """With --format onnx: a second file of 8-bit weights and activations, calibrated on training images; how good and
    how fast both are on the test images is said."""
    calibration_images: int = 256
    """With --quantize: training images of which the activations' ranges are taken."""
    images: int = 64
    """Test images by which file and network are compared."""
    data_dir: str | None = field(default=None, metadata=WHERE)
    """Directory of the data set where it is another one than the run's."""
    output: str | None = field(default=None, metadata=WHERE)
    """The file; none writes model and the format's ending into the run's directory."""

    def __post_init__(self) -> None:
        kinds = ("onnx", "torch", "safetensors", "openvino", "python")
        inside("format", self.format, self.format in kinds, "onnx, torch, safetensors, openvino or python")
        inside("quantize", self.quantize, self.quantize in (None, "int8"), "int8")
        at_least(1, images=self.images, calibration_images=self.calibration_images)
        if self.quantize and self.format != "onnx":
            raise TasError(f"--quantize goes with --format onnx, not with {self.format}")
        if self.with_preprocessing and self.format == "safetensors":
            raise TasError("--with-preprocessing goes with files that hold a programme, not with safetensors")
