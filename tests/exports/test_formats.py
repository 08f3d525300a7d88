"""Exported files: what is multiply_adds_of in them, and that what differs is seen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from tas.errors import TasError
from tas.exports import check, formats
from tas.exports.check import check_parity
from tas.exports.formats import FORMATS, check_installed, multiply_adds_of, write_file
from tas.exports.preprocessing import Preprocessed


class Mixed(nn.Module):
    """A grouped and a strided convolution, a transposed one, a linear layer, and a product of two feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.last = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.norm(self.first(x)).relu()).flatten(2)
        return self.last((x @ x.transpose(1, 2)).mean(2) / 16)


MULTIPLY_ADDS = 8 * 64 * 27 + 8 * 64 * 9 + 8 * 64 * 8 + 8 * 5


@pytest.fixture
def mixed() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Mixed().eval(), torch.randn(6, 3, 16, 16)


@pytest.mark.parametrize("kind", ["onnx", "torch", "openvino"])
def test_a_file_computes_what_the_network_does_at_the_same_cost(
    kind: str, mixed: tuple[nn.Module, Tensor], tmp_path: Path
) -> None:
    network, batch = mixed
    file = tmp_path / f"model{FORMATS[kind].suffix}"
    write_file(kind, network, batch[:2], file, {})
    assert multiply_adds_of(network, batch[:1]) == MULTIPLY_ADDS
    parity = check_parity(kind, file, network, batch)  # a batch of another length
    assert parity.multiply_adds == MULTIPLY_ADDS
    assert (parity.images, parity.alike) == (6, 6)
    assert parity.difference < 1e-4


class Attentive(nn.Module):
    """A layer of a transformer, which computes attention by kernels of its own, and attention as torch offers it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.last = nn.Linear(16, 5)
        # Computed of weights alone, which an exporter may do once and for all.
        self.table = nn.Linear(2, 16)
        self.register_buffer("places", torch.randn(9, 2))
        self.token = nn.Parameter(torch.randn(1, 9, 16))
        self.norm = nn.LayerNorm(16)

    def forward(self, x: Tensor) -> Tensor:
        token = self.norm(self.token.expand(x.shape[0], -1, -1))  # a view of a parameter, given to a module
        x = self.layer(x.flatten(2).transpose(1, 2) + token + self.table(self.places))
        heads = x.unflatten(2, (4, 4)).transpose(1, 2)
        return self.last(scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2).mean(1))


@pytest.mark.parametrize("kind", ["onnx", "torch", "openvino"])
def test_the_products_of_attention_are_counted_in_file_and_network(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, batch = Attentive().eval(), torch.randn(4, 16, 3, 3)
    products = 9 * (16 * 48 + 16 * 16 + 2 * 16 * 32) + 2 * (2 * 9 * 9 * 16) + 16 * 5
    assert multiply_adds_of(network, batch) == 4 * products + 9 * 2 * 16
    file = tmp_path / f"model{FORMATS[kind].suffix}"
    write_file(kind, network, batch, file, {})
    assert check_parity(kind, file, network, batch).multiply_adds == products
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_what_computes_something_else_is_seen(mixed: tuple[nn.Module, Tensor], tmp_path: Path) -> None:
    network, batch = mixed
    write_file("torch", network, batch, tmp_path / "model.pt2", {})
    with torch.no_grad():
        network.get_submodule("last").bias[0] += 0.01  # type: ignore[operator, union-attr]
    with pytest.raises(TasError, match=r"the file's logits differ by 0.01 .*; nothing is exported"):
        check_parity("torch", tmp_path / "model.pt2", network, batch)


def test_what_costs_something_else_is_seen(
    mixed: tuple[nn.Module, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, batch = mixed
    write_file("torch", network, batch, tmp_path / "model.pt2", {})
    monkeypatch.setattr(check, "multiply_adds_of", lambda _, images: 7 * len(images))
    with pytest.raises(TasError, match=f"the file has {MULTIPLY_ADDS} multiply-adds, the network 7"):
        check_parity("torch", tmp_path / "model.pt2", network, batch)


def test_what_cannot_be_loaded_again_is_seen(mixed: tuple[nn.Module, Tensor], tmp_path: Path) -> None:
    network, batch = mixed
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(TasError, match=r"--format onnx: the exported file cannot be loaded again \(.+\)"):
        check_parity("onnx", tmp_path / "model.onnx", network, batch)


def test_what_an_exporter_cannot_do_is_said_in_a_line(tmp_path: Path) -> None:
    class Deciding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) if float(x.sum()) > 0 else -x.flatten(1)

    with pytest.raises(TasError, match="--format torch: its exporter cannot do this network") as error:
        write_file("torch", Deciding(), torch.ones(2, 1, 4, 4), tmp_path / "model.pt2", {})
    assert "\n" not in str(error.value)


def test_bytes_are_normalised_by_the_network_itself() -> None:
    images = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    mean, deviation = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    normalised = (images / 255 - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(deviation).view(-1, 1, 1)
    torch.testing.assert_close(Preprocessed(nn.Identity(), mean, deviation)(images), normalised)


def test_what_is_not_installed_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[str], Any] = formats.find_spec
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(TasError, match=r'--format onnx needs onnxscript, which pip install "tas\[export\]" installs'):
        check_installed("--format onnx", FORMATS["onnx"].needs)
