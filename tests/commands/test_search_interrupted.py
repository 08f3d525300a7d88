"""Searches that Ctrl-C ends, and that go on."""

import csv
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tas.runs.run import Run
from tas.search.module import SearchModule
from tests.commands.conftest import (
    DIGITS,
    interrupt_after_first_checkpoint,
    metrics_of,
    only_run,
    same_but_for_time,
    yaml_of,
)
from tests.commands.test_search import FEW, MIXTURE, QUICK, SHORT
from tests.conftest import run_script


def same_result_and_curves(first: Run, second: Run) -> None:
    """Assert that two searches ended in the same place, and left the same numbers on the way there."""
    same_but_for_time(first, second)
    for one, other in ((first.curves, second.curves), (first.distributions, second.distributions)):
        assert one.read_text(encoding="utf-8") == other.read_text(encoding="utf-8")


@pytest.mark.slow
def test_ctrl_c_keeps_the_checkpoint_and_a_resumed_search_ends_as_an_unbroken_one(
    searched: tuple[Path, str], tmp_path: Path
) -> None:
    status, err = interrupt_after_first_checkpoint(
        "search.py", *DIGITS, "--output", "broken", cwd=tmp_path, run=Path("broken")
    )
    assert status == 130
    assert "Traceback" not in err
    said = r"tas search: interrupted; kept broken/checkpoints/last.ckpt; go on with: .* --resume broken"
    assert re.fullmatch(said, err.splitlines()[-1])
    broken = Run(tmp_path / "broken")
    assert broken.checkpoint.is_file() and not broken.finished()

    status, _, err = run_script("search.py", "--resume", "broken", cwd=tmp_path)
    assert status == 0, err
    assert yaml_of(broken)["resume"] is None
    same_result_and_curves(broken, only_run(searched[0], "search"))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_is_heeded_although_python_drops_it(
    cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    step = SearchModule.training_step

    def training_step(self: SearchModule, *arguments: Any) -> None:
        if self.current_epoch == 1 and arguments[1] == 0:
            Dropped()  # and with it the exception that the signal raises
        step(self, *arguments)

    monkeypatch.setattr(SearchModule, "training_step", training_step)
    status, _, err = cli("search", "--epochs", "3", "--batch-size", "16", "--output", "broken")
    assert status == 130 and err.endswith(" --resume broken\n")


@pytest.mark.parametrize(
    ("epoch", "options"),
    [
        (1, [*FEW, "--workers", "0"]),
        (1, [*FEW, "--workers", "2"]),
        # The widths and depths move from the middle of epoch 1 on.
        (1, [*MIXTURE, "--warmup", "0.6"]),
        (2, [*MIXTURE, "--warmup", "0.6"]),
    ],
)
def test_a_search_interrupted_in_any_epoch_ends_as_an_unbroken_one(
    epoch: int, options: list[str], cli: Callable, few_digits: None, interrupt: Callable, tmp_path: Path
) -> None:
    options = [*SHORT, *options]
    assert cli("search", *options, "--output", "unbroken").status == 0
    interrupt(SearchModule, epoch=epoch)
    status, _, err = cli("search", *options, "--output", "broken")
    assert status == 130 and err.endswith(" --resume broken\n")
    assert cli("search", "--resume", "broken").status == 0
    same_result_and_curves(Run(tmp_path / "broken"), Run(tmp_path / "unbroken"))


def test_a_search_interrupted_between_two_looks_leaves_the_same_curves(
    cli: Callable, few_digits: None, interrupt: Callable, tmp_path: Path
) -> None:
    options = ["--epochs", "20", "--batch-size", "32", *FEW]  # looked at in every fourth epoch
    assert cli("search", *options, "--output", "unbroken").status == 0
    interrupt(SearchModule, epoch=5)
    assert cli("search", *options, "--output", "broken").status == 130
    assert cli("search", "--resume", "broken").status == 0
    same_result_and_curves(Run(tmp_path / "broken"), Run(tmp_path / "unbroken"))
    rows = list(csv.DictReader((tmp_path / "unbroken" / "distributions.csv").read_text(encoding="utf-8").splitlines()))
    ends = [float(row["probability"]) for row in rows if row["epoch"] == "20"]
    metrics = metrics_of(Run(tmp_path / "unbroken"))
    curves = list(csv.DictReader((tmp_path / "unbroken" / "curves.csv").read_text(encoding="utf-8").splitlines()))
    assert ends and float(curves[-1]["confidence/mean"]) == pytest.approx(metrics["confidence"], abs=1e-5)


def test_a_search_interrupted_in_its_first_epoch_says_so_and_starts_anew(
    cli: Callable, few_digits: None, interrupt: Callable, tmp_path: Path
) -> None:
    interrupt(SearchModule, epoch=0)
    status, _, err = cli("search", *QUICK, "--output", "broken")
    assert status == 130
    said = r"tas search: interrupted; no checkpoint yet; go on with: .* --resume broken"
    assert re.fullmatch(said, err.splitlines()[-1])
    assert cli("search", "--resume", "broken").status == 0
    assert Run(tmp_path / "broken").finished()


def test_a_search_interrupted_after_its_last_epoch_says_how_to_go_on(
    cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # The statistics and the validation of the found network take minutes on a large data set.
    validation_step = SearchModule.validation_step

    def press(self: SearchModule, *arguments: object) -> None:
        if self.trainer.state.fn == "validate":
            raise KeyboardInterrupt
        validation_step(self, *arguments)

    monkeypatch.setattr(SearchModule, "validation_step", press)
    status, _, err = cli("search", *QUICK, "--output", "broken")
    assert status == 130
    assert re.fullmatch(r"tas search: interrupted; .*; go on with: .* --resume broken", err.splitlines()[-1])
    monkeypatch.setattr(SearchModule, "validation_step", validation_step)
    assert cli("search", "--resume", "broken").status == 0
    assert Run(tmp_path / "broken").finished()


def test_a_finished_search_cannot_be_resumed(searched: tuple[Path, str], refused: Callable) -> None:
    run = only_run(searched[0], "search")
    assert f"--resume {run.path}: that run is finished" in refused("search", "--resume", run.path)
