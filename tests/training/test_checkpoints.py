import os
from pathlib import Path
from typing import Any

import pytest

from tas.config.groups import Keeping
from tas.training.checkpoints import Checkpoints, earlier_checkpoints
from tas.training.interrupts import HeedInterrupt


def refuse(*_: Any) -> None:
    """What a file system without hard links does."""
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("links", [True, False])
def test_earlier_checkpoints_are_kept_with_and_without_hard_links(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    last = tmp_path / "last.ckpt"
    checkpoints = Checkpoints(last, Keeping(keep_checkpoints=2), HeedInterrupt(keeps=True))
    for step in (4, 8, 12):
        draft = tmp_path / "draft"
        draft.write_text(str(step))
        draft.replace(last)
        checkpoints.keep(step)
    kept = earlier_checkpoints(last)
    assert [(file.name, file.read_text()) for file in kept] == [
        ("step-000000012.ckpt", "12"),
        ("step-000000008.ckpt", "8"),
    ]
    assert len(list(tmp_path.iterdir())) == 3
