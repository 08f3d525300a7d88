"""Checkpoints: written whole or not at all, checked before they are gone on from."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from tas.errors import TasError, gist


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and then puts it in its place, so that one of them is always whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        draft = f"{path}.part"
        super().save_checkpoint(checkpoint, draft, storage_options)
        os.replace(draft, path)


def check_readable(checkpoint: Path) -> None:
    """TasError if a checkpoint is damaged."""
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TasError(f"{checkpoint}: damaged ({gist(error, 100)}); delete it to start the run anew") from None
