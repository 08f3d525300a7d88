"""Weights in a run's directory."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tas.errors import TasError
from tas.runs.weights_file import load_state, save_state


def same(first: object, second: object) -> bool:
    return torch.equal(first, second) if isinstance(first, Tensor) and isinstance(second, Tensor) else first == second


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    tied = torch.randn(4, 3)
    state = {
        "weight": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "half": torch.randn(3).half(),
        "tied": tied,
        "tied.too": tied,
        "turned": tied.t(),
        "steps": torch.tensor(3),
        "_extra_state": {"seen": 7, "names": ["a"]},
        "deeper._extra_state": None,
    }
    save_state(tmp_path / "model.safetensors", state)
    loaded = load_state(tmp_path / "model.safetensors")
    assert loaded.keys() == state.keys()
    assert all(same(loaded[name], state[name]) for name in state)


def test_a_full_disk_leaves_the_earlier_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    save_state(file, {"a": torch.ones(2)})
    before = file.read_bytes()

    def full(path: Path, content: bytes) -> None:
        path.write_text("half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TasError, match=r"cannot be written \(.*No space left"):
        save_state(file, {"a": torch.zeros(2)})
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_what_is_no_such_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(TasError, match=r"model.safetensors: cannot be read"):
        load_state(tmp_path / "model.safetensors")
