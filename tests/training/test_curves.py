import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tas.training.curves
from tas.config import TrainOptions
from tas.runs.run import Run
from tas.training.checkpoints import Checkpoints
from tas.training.curves import GrowingCsv
from tas.training.module import TrainModule

PLAIN = ["--network", "resnet20", "--batch-size", "4", "--epochs", "3"]
"""Sixteen steps an epoch of the few digits, of which every tenth is logged."""


def grown(path: Path) -> GrowingCsv:
    """A file of two steps, whose second brought a column."""
    file = GrowingCsv(path, ("step", "epoch"))
    file.add([{"step": 0, "epoch": 1, "loss": 0.1}])
    file.add([{"step": 1, "epoch": 2, "accuracy": 1.0, "loss": 1e-9}])
    return file


def test_columns_follow_by_name_as_rows_bring_them(tmp_path: Path) -> None:
    grown(tmp_path / "curves.csv").add([{"step": 2, "epoch": 2, "accuracy": 0.5}])
    assert (tmp_path / "curves.csv").read_text().splitlines() == [
        "step,epoch,accuracy,loss",
        "0,1,,0.1",
        "1,2,1,1e-09",
        "2,2,0.5,",
    ]


def test_only_a_new_column_makes_the_file_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = grown(tmp_path / "curves.csv")
    monkeypatch.setattr(tas.training.curves, "write_text", pytest.fail)
    file.add([{"step": 2, "epoch": 2, "loss": 1.0}])
    assert (tmp_path / "curves.csv").read_text().endswith("\n2,2,,1\n")


def test_numbers_are_exact_to_the_last_bit_of_a_float32(tmp_path: Path) -> None:
    values = torch.rand(100, generator=torch.Generator().manual_seed(0))
    GrowingCsv(tmp_path / "a.csv", ("step",)).add([{"step": 0, "a": value} for value in values.tolist()])
    read = [float(row["a"]) for row in csv.DictReader((tmp_path / "a.csv").read_text().splitlines())]
    assert torch.equal(torch.tensor(read), values)


@pytest.mark.parametrize("torn", ["", "2,3,0.5", "2,3,0.5,0.1\n10"])
def test_a_run_that_goes_on_cuts_what_came_after_its_checkpoint(torn: str, tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    file = grown(path)
    before = path.read_text()
    with path.open("a") as appended:
        appended.write(torn)
    file.cut(1)
    assert path.read_text() == before
    file.cut(0)
    assert path.read_text() == "step,epoch,accuracy,loss\n0,1,,0.1\n"
    file.cut(-1)
    assert not path.exists()


def rows_of(run: Run) -> list[dict[str, str]]:
    return list(csv.DictReader(run.curves.read_text(encoding="utf-8").splitlines()))


def test_a_training_leaves_every_scalar_that_tensorboard_has(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    assert cli("train", *PLAIN, "--output", "run").status == 0
    run = Run(tmp_path / "run")
    rows = rows_of(run)
    events = EventAccumulator(str(run.path), size_guidance={"scalars": 0})
    events.Reload()
    names = {*events.Tags()["scalars"]} - {"epoch", "hp_metric"}
    assert list(rows[0]) == ["step", "epoch", *sorted(names)]
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted({*steps}) == sorted({event.step for event in events.Scalars("epoch")})
    for name in names:
        read = {int(row["step"]): float(row[name]) for row in rows if row[name]}
        for event in events.Scalars(name):
            assert read[event.step] == pytest.approx(event.value, rel=1e-7)
    assert [row["epoch"] for row in rows if row["accuracy"]] == ["1", "2", "3"]
    assert rows[-1]["test_accuracy"] and rows[-1]["epoch"] == "3"


@pytest.mark.parametrize(
    ("owner", "hook", "calls"),
    [
        (TrainModule, "training_step", 2),
        (TrainModule, "training_step", 31),
        # Before Lightning gives the scalars of the epoch's end to the loggers.
        (Checkpoints, "on_train_epoch_end", 2),
        (TrainModule, "test_step", 1),
    ],
)
def test_a_training_that_goes_on_leaves_the_curves_of_an_unbroken_one(
    owner: type, hook: str, calls: int, cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C after some calls of a hook."""
    assert cli("train", *PLAIN, "--output", "unbroken").status == 0
    usual, called = getattr(owner, hook), []

    def pressed(*arguments: object) -> object:
        result = usual(*arguments)
        called.append(hook)
        if len(called) == calls:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, hook, pressed)
    assert cli("train", *PLAIN, "--output", "broken").status == 130
    assert cli("train", "--resume", "broken").status == 0
    assert Run(tmp_path / "broken").curves.read_text() == Run(tmp_path / "unbroken").curves.read_text()


def test_a_training_that_diverges_leaves_the_steps_until_then(
    cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(TrainModule, "on_train_epoch_end", fails_in_epoch_1)
    with pytest.raises(ZeroDivisionError):
        cli("train", *PLAIN, "--output", "run")
    run = Run(tmp_path / "run")
    assert run.checkpoint.is_file()
    assert {row["epoch"] for row in rows_of(run)} == {"1", "2"}


def fails_in_epoch_1(module: TrainModule) -> None:
    if module.current_epoch == 1:
        raise ZeroDivisionError


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_fabric.utilities.rank_zero.rank_zero_only.rank", 1)
    grown(tmp_path / "curves.csv").cut(0)
    assert not (tmp_path / "curves.csv").exists()


def test_a_run_that_is_given_up_leaves_no_csv(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(TrainOptions())
    for path in (run.curves, run.distributions):
        path.write_text("step\n")
    run.give_up()
    assert not run.path.exists()
