"""1x1 convolutions as matrix products, alone and with the norm and the mixture behind them."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tas.supernet import pointwise
from tas.supernet.pointwise import Moments, multiplies, multiply
from tests.supernet.test_layers import CLOSE, draw, literal_eq_4, make_layer

LAST = {"memory_format": torch.channels_last}


@pytest.fixture(autouse=True)
def narrow_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwise, "NARROW", 0)


def maps(*shape, last=True):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (made.contiguous(**LAST) if last else made).requires_grad_()


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_the_convolution_and_passes_gradcheck(bias: bool, last: bool) -> None:
    x, conv = maps(2, 3, 4, 5, last=last), nn.Conv2d(3, 4, 1, bias=bias).double()
    # A part of the weights, as a width that is drawn takes it.
    weight, offset = conv.weight[:3, :2], conv.bias[:3] if bias else None
    out = multiply(x[:, :2], weight, offset)
    torch.testing.assert_close(out, F.conv2d(x[:, :2], weight, offset), **CLOSE)
    assert out.is_contiguous(**LAST) and not out._is_view()
    own = [conv.weight] + ([conv.bias] if bias else [])
    assert torch.autograd.gradcheck(lambda x, w, b=None: multiply(x, w, b), (x, *own))


def test_moments_are_mean_and_covariance_and_pass_gradcheck() -> None:
    x = maps(3, 4, 2, 3)
    mean, covariance = Moments.apply(x)
    rows = x.permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(mean, rows.mean(1), **CLOSE)
    torch.testing.assert_close(covariance, torch.cov(rows, correction=0), **CLOSE)
    assert torch.autograd.gradcheck(Moments.apply, (x,))


def test_moments_stay_exact_where_the_mean_is_far_from_0() -> None:
    x = 1000 + maps(8, 4, 6, 6).detach()
    _, covariance = Moments.apply(x.float())
    torch.testing.assert_close(covariance.double(), Moments.apply(x)[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("drawn", [[0, 1], [1, 3], [0, 1, 2, 3]])
def test_folded_it_is_eq_4_and_the_wide_output_is_never_made(
    drawn: list[int], training: bool, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = make_layer((4, 7, 9, 12), channels=3, kernel=1, stride=stride).to(**LAST).train(training)
    draw(layer, drawn)
    x = maps(4, 2, 5, 6)
    expected, norms = literal_eq_4(layer, x)
    learn = [x, layer.conv.weight, layer.choice.logits]
    wanted = torch.autograd.grad(expected.square().sum(), learn)
    draw(layer, drawn)
    monkeypatch.setattr(F, "batch_norm", None)
    behind = []
    handle = layer.layer.register_forward_hook(lambda module, args, out: behind.append(out.shape[1]))
    out = layer(x)
    handle.remove()
    torch.testing.assert_close(out, expected, **CLOSE)
    assert behind == [layer.choice.drawn()[-1]]
    found = torch.autograd.grad(out.square().sum(), learn)
    for gradient, own in zip(found, wanted):
        torch.testing.assert_close(gradient, own, **CLOSE)
    widest = norms[drawn[-1]]
    for name in ("running_mean", "running_var"):
        own = getattr(layer.norm, name)[: widest.num_features]
        torch.testing.assert_close(own, getattr(widest, name), **CLOSE)
    assert layer.norm.num_batches_tracked == (1 if training else 0)


@pytest.mark.parametrize(
    ("channels", "kernel", "align"), [(12, 1, "interpolate"), (3, 3, "interpolate"), (3, 1, "pad")]
)
def test_nothing_is_folded_where_that_gains_nothing(channels: int, kernel: int, align: str) -> None:
    layer = make_layer((4, 7, 9, 12), channels=channels, kernel=kernel, align=align)
    draw(layer, [1, 3])
    assert not layer.norm.folds


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, True), ({"kernel_size": 3}, False), ({"stride": 2}, False), ({"padding": 1}, False), ({"groups": 2}, False)],
)
def test_a_product_stands_for_a_convolution_of_every_position_alone(changed: dict, expected: bool) -> None:
    conv = nn.Conv2d(4, 6, **{"kernel_size": 1} | changed)
    x = torch.randn(2, 4, 5, 5).contiguous(**LAST)
    assert multiplies(conv, x) is expected
    assert not multiplies(conv, x.contiguous())
    with torch.autocast("cpu", torch.bfloat16):
        assert not multiplies(conv, x)


def test_narrow_convolutions_keep_their_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwise, "NARROW", 64)
    x = torch.randn(2, 64, 5, 5).contiguous(**LAST)
    assert not multiplies(nn.Conv2d(64, 64, 1), x) and multiplies(nn.Conv2d(64, 65, 1), x)
    layer = make_layer((4, 64), channels=3, kernel=1)
    draw(layer, [0, 1])
    assert not layer.norm.folds


def test_a_single_candidate_is_not_folded() -> None:
    layer = make_layer((4, 7, 9, 12), channels=3, kernel=1)
    draw(layer, [1])
    assert not layer.norm.folds
    draw(layer, [0, 1])
    assert layer.norm.folds


def test_a_folded_batch_that_has_no_variance_is_refused_as_by_batch_norm() -> None:
    layer = make_layer((4, 7), channels=3, kernel=1)
    draw(layer, [0, 1])
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(torch.randn(1, 3, 1, 1, dtype=torch.float64))
    assert layer.norm.num_batches_tracked == 0


def test_folded_under_autocast_it_is_that_of_double_precision_as_far_as_bfloat16_goes() -> None:
    layer = make_layer((8, 12, 16), channels=5, kernel=1)
    draw(layer, [0, 2])
    x = maps(8, 5, 6, 6)
    wanted = layer(x)
    layer = layer.float()
    draw(layer, [0, 2])
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x.detach().float())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), wanted, rtol=0.05, atol=0.05)
