"""Networks in other numbers than float32 are cast with a word; what has none, or quantised ones, is refused."""

import warnings

import pytest
import torch
from torch import nn
from torch.ao import quantization

from tas.errors import TasError
from tas.networks.library import open_library_network
from tas.networks.numbers import say_cast


def small(num_classes: int = 3) -> nn.Module:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, num_classes))


def half(num_classes: int) -> nn.Module:
    return small(num_classes).half()


def mixed(num_classes: int) -> nn.Module:
    network = small(num_classes)
    network[0].double()
    network[5].bfloat16()
    return network


def channels_last(num_classes: int) -> nn.Module:
    return small(num_classes).to(memory_format=torch.channels_last)


def without_numbers(num_classes: int) -> nn.Module:
    with torch.device("meta"):
        return small(num_classes)


def prepared(num_classes: int) -> nn.Module:
    network = nn.Sequential(quantization.QuantStub(), small(num_classes), quantization.DeQuantStub()).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's quantisation moves elsewhere
        network.qconfig = quantization.get_default_qat_qconfig("fbgemm")
        return quantization.prepare_qat(network)


def stubs(num_classes: int) -> nn.Module:
    return nn.Sequential(quantization.QuantStub(), small(num_classes), quantization.DeQuantStub())


def made(name: str) -> nn.Module:
    say_cast.cache_clear()
    return open_library_network(f"{__name__}:{name}", 3, 3)


@pytest.mark.parametrize(("name", "kinds"), [("half", "float16"), ("mixed", "bfloat16, float64")])
def test_other_numbers_are_cast_with_a_word(name: str, kinds: str, capsys: pytest.CaptureFixture[str]) -> None:
    network = made(name)
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32, torch.int64}
    open_library_network(f"{__name__}:{name}", 3, 3)
    assert capsys.readouterr().err == (
        f"tas: warning: {__name__}:{name} gives a network in {kinds}; it is cast to float32\n"  # once
    )


@pytest.mark.parametrize("name", ["small", "channels_last", "stubs"])
def test_ordinary_networks_are_left_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    network = made(name)
    assert capsys.readouterr().err == ""
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "said"), [("without_numbers", "0.weight is on the device meta"), ("prepared", "prepared for quantisation")]
)
def test_networks_that_have_no_numbers_to_learn_are_refused(name: str, said: str) -> None:
    with pytest.raises(TasError, match=said) as refused:
        made(name)
    assert "\n" not in str(refused.value)
