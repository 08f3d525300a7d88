"""A disk that is full: one line that names the file, and earlier files whole."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tas
from tas.exports.formats import FORMATS
from tas.runs.run import Run
from tests.conftest import Outcome, environment

ALLOWED = 200_000
"""Bytes of a file in `with_small_files`: below any format of a ResNet-20, above what else a command writes."""


def with_small_files(*arguments: object, cwd: Path) -> Outcome:
    """A command in a process that cannot write large files, which fails as on a full disk, but for the reason."""
    done = subprocess.run(
        [sys.executable, "-m", "tas", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (ALLOWED, ALLOWED)),
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def full_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let there be no space for files whose names begin so."""

    def fill(name: str) -> None:
        def refuse(write: Callable) -> Callable:
            def call(self: Path, content: Any, **others: Any) -> int:
                if self.name.startswith(name):
                    write(self, content[: len(content) // 2], **others)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return write(self, content, **others)

            return call

        for kind in ("write_text", "write_bytes"):
            monkeypatch.setattr(Path, kind, refuse(getattr(Path, kind)))

    return fill


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_that_finds_the_disk_full_leaves_earlier_files_whole(
    make_teacher: Callable[..., Run], tmp_path: Path, kind: str
) -> None:
    run = make_teacher()
    to = run.path / f"shipped{FORMATS[kind].suffix}"
    for file in (to, to.with_suffix(".bin"), to.with_suffix(".pt")):
        file.write_text("earlier")
    before = {file: file.read_bytes() for file in run.path.iterdir()}
    status, out, err = with_small_files("export", run.path, "--format", kind, "--output", to, cwd=tmp_path)
    assert (status, out) == (2, ""), err
    why = "basic_ios::clear: iostream error" if kind == "openvino" else os.strerror(errno.EFBIG)
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"tas export: error: {to}: cannot be written ({why})"
    assert {file: file.read_bytes() for file in run.path.iterdir()} == before


@pytest.mark.parametrize("name", ["images.json", "architecture.json", "model.safetensors"])
def test_a_run_that_cannot_be_kept_names_the_file_and_leaves_the_earlier_one(
    make_teacher: Callable[..., Run], full_for: Callable[[str], None], name: str
) -> None:
    run = make_teacher()
    before = {file: file.read_bytes() for file in run.path.iterdir() if file.is_file()}
    architecture, network = tas.Architecture.load(run.architecture), tas.load(run.path)
    full_for(name)
    with pytest.raises(tas.TasError, match=rf"{name}: cannot be written \(No space left on device\)"):
        run.keep(architecture, network, {"channels": 1})
    after = {file: file.read_bytes() for file in run.path.iterdir() if file.is_file()}
    assert after[run.path / name] == before[run.path / name] and after.keys() == before.keys()


def test_a_training_whose_end_finds_no_space_is_gone_on_with(
    cli: Callable, few_digits: None, full_for: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context():
        full_for("metrics.json")
        status, _, err = cli("train", "--network", "resnet20", "--epochs", "1", "--output", "run")
        line = err.splitlines()[-1]
        assert status == 2 and "Traceback" not in err
        assert line == "tas train: error: run/metrics.json: cannot be written (No space left on device)"
        assert not Run(tmp_path / "run").finished() and not list((tmp_path / "run").glob("*.part"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    status, _, err = cli("train", "--resume", "run")
    assert status == 0, err
    assert isinstance(tas.load("run"), torch.nn.Module)


@pytest.mark.slow
def test_a_checkpoint_that_finds_no_space_is_named(tmp_path: Path) -> None:
    arguments = ("train", "--network", "resnet20", "--epochs", "1", "--output", "run")
    status, _, err = with_small_files(*arguments, cwd=tmp_path)
    assert status == 2 and "Traceback" not in err
    assert err.splitlines()[-1] == ("tas train: error: run/checkpoints/last.ckpt: cannot be written (File too large)")
    assert not (tmp_path / "run").exists()
