"""The weights in a run's directory: a file of the safetensors library, which runs no code when it is read."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from tas.errors import TasError, gist
from tas.inputs.torch_file import read_torch
from tas.runs.files import written_whole

OBJECTS = "objects"
"""The key of the file's metadata that names entries which are no tensors, as JSON."""


def torch_bytes(content: object) -> bytes:
    """What torch.save writes; where it writes a file itself it does not say why it cannot."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state dict whole or not at all. What is no tensor, as a module's extra state, becomes bytes.

    Raises:
        TasError: It cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    objects, places = [], set()
    for name, entry in state.items():
        if not isinstance(entry, Tensor):
            objects.append(name)
            entry = torch.frombuffer(bytearray(torch_bytes(entry)), dtype=torch.uint8)
        entry = entry.detach().cpu().contiguous()
        # The library takes no two tensors in one place, as tied weights are.
        shared = entry.untyped_storage().data_ptr() in places
        places.add(entry.untyped_storage().data_ptr())
        tensors[name] = entry.clone() if shared else entry
    with written_whole(path) as draft:
        # Not by the library's `save_file`, whose files nobody else may read.
        draft.write_bytes(save(tensors, metadata={OBJECTS: json.dumps(objects)}))


def load_state(path: Path) -> dict[str, Any]:
    """A state dict from a file of `save_state`, or from one of `torch.save`, as earlier runs left it; on the CPU.

    Raises:
        TasError: It cannot be read.
    """
    try:
        if path.suffix == ".pt":
            earlier: dict[str, Any] = read_torch(path)
            return earlier
        with safe_open(path, "pt") as file:
            objects = json.loads((file.metadata() or {}).get(OBJECTS, "[]"))
            state: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
        for name in objects:
            state[name] = torch.load(io.BytesIO(state[name].numpy().tobytes()), weights_only=True)
        return state
    except Exception as error:  # of the library's own classes, and torch raises what it likes
        raise TasError(f"{path}: cannot be read ({gist(error)})") from None
