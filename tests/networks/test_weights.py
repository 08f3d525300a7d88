"""Trained weights as people have them: of Lightning, timm, torchvision's scripts, torch.compile, tutorials."""

import argparse
import collections
import functools
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tas.errors import TasError
from tas.networks.weights import load_weights

State = dict[str, Tensor]


def make(width: int = 8, classes: int = 3) -> nn.Sequential:
    layers = [nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


class Parallel(nn.Module):
    """A network that calls a part of its own `module`, as wrappers do."""

    def __init__(self) -> None:
        super().__init__()
        self.module = make()


def trained(seed: int = 0, network: Callable[[], nn.Module] = make) -> State:
    torch.manual_seed(seed)
    made = network()
    for buffer in made.buffers():
        buffer += 1
    return made.state_dict()


def begun(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


class Settings(argparse.Namespace):
    """A class that a reader of the file does not know."""


class Attributes(dict):
    """A dict with attributes, as Lightning and timm keep settings."""


def averaged() -> State:
    network = make()
    network.load_state_dict(trained())
    return AveragedModel(network).state_dict()


STATE = trained()


def itself() -> State:
    content: dict[str, Any] = {"state_dict": STATE}
    content["parent"] = content
    return content


ARGS = Settings(lr=0.1, model="mine", folder=Path("data"))
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(8, 3, 3, 3)}}, "param_groups": [{"lr": 0.1}]}
LAYOUTS: dict[str, Any] = {
    "a state dict": STATE,
    "a state dict in order": collections.OrderedDict(STATE),
    "DataParallel": begun("module.", STATE),
    "a part in DataParallel": {name.replace("5.", "5.module."): tensor for name, tensor in STATE.items()},
    "torch.compile": begun("_orig_mod.", STATE),
    "DDP of a compiled network": begun("module._orig_mod.", STATE),
    "a part compiled": {name.replace("0.", "0._orig_mod."): tensor for name, tensor in STATE.items()},
    "FSDP": begun("_fsdp_wrapped_module.", STATE),
    "AveragedModel": averaged(),
    "Lightning": {"state_dict": begun("model.", STATE), "epoch": 3, "hyper_parameters": Attributes(lr=0.1)},
    "Lightning, another name": {"state_dict": begun("net.backbone.", STATE) | {"loss.weight": torch.ones(3)}},
    "timm": {"epoch": 3, "arch": "mine", "state_dict": STATE, "optimizer": OPTIMIZER, "args": ARGS, "metric": 88.0},
    "torchvision": {"model": STATE, "optimizer": OPTIMIZER, "args": ARGS, "epoch": 3},
    "a tutorial": {"epoch": 3, "model_state_dict": STATE, "optimizer_state_dict": OPTIMIZER, "loss": torch.tensor(0.3)},
    "net and acc": {"net": begun("module.", STATE), "acc": np.float64(91.0), "history": np.arange(3)},
    "thop": STATE | {"total_ops": torch.zeros(1), "0.total_params": torch.zeros(1)},
    "before torch 0.4.1": {name: tensor for name, tensor in STATE.items() if "num_batches" not in name},
    "half precision": {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in STATE.items()},
    "parameters": {name: nn.Parameter(t) if t.is_floating_point() else t for name, t in STATE.items()},
    "twice the same": {"model": STATE, "best": {"weights": STATE}},
    "averaged, timm": {"state_dict": trained(1), "state_dict_ema": STATE},
    "averaged, torchvision": {"model": trained(1), "model_ema": averaged()},
    "averaged, Lightning": {"state_dict": begun("model.", trained(1)) | begun("ema.module.", STATE)},
    "beside what has an attribute items": {"state_dict": STATE, "args": Settings(items=3)},
    "beside a function": {"state_dict": STATE, "hyper_parameters": {"make": functools.partial(make, 8)}},
    "in itself": itself(),
    "beside another network": {"state_dict": begun("student.", STATE) | begun("teacher.", trained(0, lambda: make(4)))},
}


def saved(content: object, tmp_path: Path) -> str:
    torch.save(content, tmp_path / "weights.pth")
    return str(tmp_path / "weights.pth")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_common_layout_is_read(layout: str, tmp_path: Path) -> None:
    network, fresh = make(), make().state_dict()
    complete, _ = load_weights(network, saved(LAYOUTS[layout], tmp_path))
    assert complete
    for name, tensor in network.state_dict().items():
        wanted = STATE[name] if "num_batches" not in name or layout != "before torch 0.4.1" else fresh[name]
        near = 1e-3 if "half" in layout else 0
        torch.testing.assert_close(tensor, wanted, atol=near, rtol=near)


def test_where_the_weights_were_is_said(tmp_path: Path) -> None:
    path = saved(LAYOUTS["averaged, timm"], tmp_path)
    assert load_weights(make(), path) == (True, f"{path} (state_dict_ema)")
    path = saved(STATE, tmp_path)
    assert load_weights(make(), path) == (True, path)


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model."])
def test_a_network_may_call_a_part_what_wrappers_are_called(prefix: str, tmp_path: Path) -> None:
    state, network = trained(0, Parallel), Parallel()
    assert load_weights(network, saved(begun(prefix, state), tmp_path))[0]
    assert all(map(torch.equal, network.state_dict().values(), state.values()))


def test_safetensors(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.torch")
    library.save_file(begun("model.", STATE), tmp_path / "model.safetensors")
    network = make()
    assert load_weights(network, str(tmp_path / "model.safetensors"))[0]
    assert torch.equal(network[0].weight, STATE["0.weight"])
    (tmp_path / "broken.safetensors").write_text("no weights")
    with pytest.raises(TasError, match=r"broken.safetensors: does not hold weights \("):
        load_weights(network, str(tmp_path / "broken.safetensors"))


def test_a_file_from_before_torch_1_6(tmp_path: Path) -> None:
    torch.save({"state_dict": begun("module.", STATE)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_weights(make(), str(tmp_path / "old.pth"))[0]


@pytest.mark.parametrize(
    "content, said",
    [
        ({"model": trained(0, lambda: make(6))}, "under 'model' have '0.weight' of (6, 3, 3, 3), not (8, 3, 3, 3)"),
        (begun("net.", {k: v for k, v in STATE.items() if k != "5.bias"}), "the weights under 'net' lack '5.bias', so"),
        (STATE | {"6.weight": torch.ones(1), "6.bias": torch.ones(1)}, "the weights have '6.weight' and 1 more, so"),
        ({"conv.weight": torch.ones(1)}, "the weights begin with 'conv.weight', the network's with '0.weight'"),
        ({"a": STATE, "b": trained(1)}, "it has several networks' weights that fit, 'a' and 'b'; save the state_dict"),
        ({"a_ema": STATE, "b_ema": trained(1)}, "several networks' weights that fit, 'a_ema' and 'b_ema'"),
        (make(), "it has an object of torch.nn.modules."),
        ([1, 2], "does not hold weights, names and their tensors"),
        ({"0.weight": 5}, "does not hold weights, names and their tensors"),
        ({}, "does not hold weights, names and their tensors"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(content: object, said: str, tmp_path: Path) -> None:
    network = make()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(TasError, match=re.escape(said)) as refused:
        load_weights(network, saved(content, tmp_path))
    assert "\n" not in str(refused.value)
    assert all(map(torch.equal, network.state_dict().values(), before.values()))


class Harmful:
    """Unpickled, it writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.file,)


class Deleting(Harmful):
    """Unpickled, it calls the system."""

    def __reduce__(self) -> tuple[Callable, tuple]:
        import os

        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("kind", [Harmful, Deleting])
def test_no_code_in_a_file_runs(kind: type[Harmful], tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    pickle.loads(pickle.dumps(kind(mark)))
    assert mark.exists()  # it would
    mark.unlink()
    path = saved({"state_dict": STATE, "args": kind(mark)}, tmp_path)
    try:
        load_weights(make(), path)
    except TasError as refused:
        assert "does not hold weights" in str(refused)
    assert not mark.exists()
