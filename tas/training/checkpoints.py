"""Checkpoints: written whole or not at all, checked before they are gone on from."""

from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from tas.errors import TasError, gist
from tas.runs.files import written_whole


class WholeFileCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and then puts it in its place, so that one of them is always whole."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with written_whole(Path(path)) as draft:
            super().save_checkpoint(checkpoint, draft, storage_options)


def check_readable(checkpoint: Path) -> None:
    """TasError if a checkpoint is damaged."""
    try:
        torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TasError(f"{checkpoint}: damaged ({gist(error, 100)}); delete it to start the run anew") from None
