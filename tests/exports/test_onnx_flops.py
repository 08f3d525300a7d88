from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tas.exports.formats import multiply_adds_of, write_file
from tas.exports.onnx_flops import onnx_multiply_adds


class Summed(nn.Module):
    """Images times a weight, by an equation."""

    def __init__(self, equation: str, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.equation = equation
        self.weight = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum(self.equation, x, self.weight).flatten(1)


@pytest.mark.parametrize(
    ("equation", "shape", "expected"),
    [
        ("bchw,dc->bdhw", (7, 3), 2 * 3 * 4 * 5 * 7),
        ("b...w,wv->b...v", (5, 6), 2 * 3 * 4 * 5 * 6),
        ("bchw,chd->bwd", (3, 4, 2), 2 * 3 * 4 * 5 * 2),
        ("bchw,bchw->bchw", (1, 3, 4, 5), 0),  # nothing is summed
    ],
)
def test_equations_are_counted_as_torch_counts_them(
    equation: str, shape: tuple[int, ...], expected: int, tmp_path: Path
) -> None:
    network, batch = Summed(equation, shape).eval(), torch.randn(2, 3, 4, 5)
    write_file("onnx", network, batch, tmp_path / "model.onnx", {})
    assert onnx_multiply_adds(tmp_path / "model.onnx", batch) == expected == multiply_adds_of(network, batch)


class Windows(nn.Module):
    """Windows of the images, folded into the batch, through a layer and a recurrent one: the file computes sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.memory = nn.Linear(4, 6), nn.LSTM(6, 5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        windows = x.unfold(2, 2, 2).unfold(3, 2, 2).permute(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1], 4)
        made, _ = self.memory(self.layer(windows))
        return made.reshape(x.shape[0], -1)


@pytest.mark.parametrize("images", [1, 3])
def test_shapes_are_those_of_a_run_and_recurrent_layers_passed_over(images: int, tmp_path: Path) -> None:
    network = Windows().eval()
    write_file("onnx", network, torch.randn(2, 3, 4, 4), tmp_path / "model.onnx", {})
    batch = torch.randn(images, 3, 4, 4)
    counted = onnx_multiply_adds(tmp_path / "model.onnx", batch)
    assert counted == images * 4 * 3 * 4 * 6 == multiply_adds_of(network, batch)
