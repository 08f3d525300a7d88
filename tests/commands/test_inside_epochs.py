"""Runs that end inside of an epoch, by a signal, a kill or a damaged checkpoint, and go on as if they had not."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.exc import TorchDynamoException

from tas.runs.run import Run
from tas.search.module import SearchModule
from tas.training.checkpoints import Checkpoints
from tas.training.module import TrainModule
from tas.training.position import EpochPosition
from tests.commands.conftest import same_but_for_time
from tests.commands.test_search import FEW, MIXTURE
from tests.commands.test_search_interrupted import same_result_and_curves

STEPS = ["--epochs", "3", "--batch-size", "4"]
"""Twelve steps an epoch of a search, sixteen of a training; scalars are written at every tenth step."""

SEARCH = ["search", *STEPS, *FEW]
MIXED = ["search", *STEPS, *MIXTURE, "--warmup", "0.4"]
TRAIN = ["train", "--network", "resnet20", *STEPS]
COMMANDS = {
    "sandwich": SEARCH,
    "mixture": MIXED,
    "training": TRAIN,
    "training by workers": [*TRAIN, "--workers", "2"],
    "search by workers": [*SEARCH, "--workers", "2"],
}


def module_of(command: list[str]) -> type:
    """What Lightning runs."""
    return SearchModule if command[0] == "search" else TrainModule


@pytest.fixture
def raise_in(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Have a signal come in a step, once."""

    def arm(module: type, epoch: int, batch: int, number: int) -> None:
        step, done = module.training_step, list[bool]()

        def training_step(self: Any, *arguments: Any) -> Any:
            result = step(self, *arguments)
            if (self.current_epoch, arguments[1]) == (epoch, batch) and not done:
                done.append(True)
                signal.raise_signal(number)
            return result

        monkeypatch.setattr(module, "training_step", training_step)

    return arm


def same_run(tmp_path: Path) -> None:
    """Assert that what was stopped ended as what was not: numbers on the way, weights, results."""
    broken, unbroken = Run(tmp_path / "broken"), Run(tmp_path / "unbroken")
    if broken.distributions.exists():
        same_result_and_curves(broken, unbroken)
    else:
        same_but_for_time(broken, unbroken)
        assert broken.curves.read_text() == unbroken.curves.read_text()
    weights = [load_file(run.weights) for run in (broken, unbroken)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize(("epoch", "batch", "number"), [(0, 2, signal.SIGINT), (1, 5, signal.SIGTERM)])
def test_a_signal_keeps_the_steps_of_the_epoch_and_nothing_else_changes(
    kind: str,
    epoch: int,
    batch: int,
    number: signal.Signals,
    cli: Callable,
    few_digits: None,
    raise_in: Callable,
    tmp_path: Path,
) -> None:
    command = COMMANDS[kind]
    assert cli(*command, "--output", "unbroken").status == 0
    raise_in(module_of(command), epoch, batch, number)
    status, _, err = cli(*command, "--output", "broken")
    assert status == 128 + number
    word = "interrupted" if number == signal.SIGINT else "terminated"
    said = rf"tas {command[0]}: {word}; kept broken/checkpoints/last.ckpt; go on with: tas \w+ --resume broken"
    assert re.fullmatch(said, err.splitlines()[-1])
    state = torch.load(tmp_path / "broken/checkpoints/last.ckpt", weights_only=True)
    assert (state["epoch"], state["inside_epoch"]["seen"]) == (epoch, batch + 1)
    status, out, err = cli(command[0], "--resume", "broken")
    assert status == 0, err
    assert "resume: going on with broken" in out
    same_run(tmp_path)


def test_a_signal_at_a_step_that_is_logged_or_at_an_epochs_last_waits_for_the_next(
    cli: Callable, few_digits: None, raise_in: Callable, tmp_path: Path
) -> None:
    assert cli(*TRAIN, "--output", "unbroken").status == 0
    for batch, seen in ((9, 11), (15, None)):
        raise_in(TrainModule, 0, batch, signal.SIGTERM)
        assert cli(*TRAIN, "--output", f"broken-{batch}").status == 143
        state = torch.load(tmp_path / f"broken-{batch}/checkpoints/last.ckpt", weights_only=True)
        assert state.get("inside_epoch", {}).get("seen") == seen
        assert cli("train", "--resume", f"broken-{batch}").status == 0
        (tmp_path / f"broken-{batch}").rename(tmp_path / "broken")
        same_run(tmp_path)
        (tmp_path / "broken").rename(tmp_path / f"done-{batch}")


def test_a_second_signal_ends_a_run_at_once(
    cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = TrainModule.training_step

    def training_step(self: TrainModule, *arguments: Any) -> Any:
        for _ in range(2 if arguments[1] == 3 else 0):
            signal.raise_signal(signal.SIGINT)
        return step(self, *arguments)

    monkeypatch.setattr(TrainModule, "training_step", training_step)
    status, _, err = cli(*TRAIN, "--output", "broken")
    assert status == 130 and "no checkpoint yet" in err.splitlines()[-1]


@pytest.mark.parametrize("kind", ["sandwich", "mixture", "training by workers"])
def test_a_run_that_dies_goes_on_from_a_checkpoint_that_was_due(
    kind: str, cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = [*COMMANDS[kind], "--checkpoint-every", "3steps", "--keep-checkpoints", "2"]
    assert cli(*command, "--output", "unbroken").status == 0
    module = module_of(command)
    step = module.training_step  # type: ignore[attr-defined]

    def training_step(self: Any, *arguments: Any) -> Any:
        if (self.current_epoch, arguments[1]) == (1, 6):
            raise RuntimeError("the machine is gone")
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "training_step", training_step)
        with pytest.raises(RuntimeError):
            cli(*command, "--output", "broken")
    files = sorted(file.name for file in (tmp_path / "broken/checkpoints").iterdir())
    assert len(files) == 3 and files[0] == "last.ckpt"
    state = torch.load(tmp_path / "broken/checkpoints/last.ckpt", weights_only=True)
    assert 0 < state["inside_epoch"]["seen"] <= 6
    # And that one was damaged, by a disk; the one before it is taken.
    last = tmp_path / "broken/checkpoints/last.ckpt"
    content = last.read_bytes()
    last.unlink()  # it shares its bytes with the one of its step
    last.write_bytes(content[: len(content) // 2])
    (tmp_path / "broken/checkpoints" / files[-1]).write_bytes(b"")
    status, _, err = cli(command[0], "--resume", "broken")
    assert status == 0, err
    assert err.count("an earlier one is taken") == 2
    same_run(tmp_path)


def test_the_place_in_an_epoch_is_not_forgotten_where_lightning_forgets_its_loaders(
    cli: Callable, few_digits: None, raise_in: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Lightning drops the state of loaders that keep one where this is asked for before the training begins.
    assert cli(*TRAIN, "--output", "unbroken").status == 0
    begin = EpochPosition.on_load_checkpoint

    def on_load_checkpoint(self: EpochPosition, trainer: Any, *arguments: Any) -> None:
        assert trainer.estimated_stepping_batches == 48
        begin(self, trainer, *arguments)

    monkeypatch.setattr(EpochPosition, "on_load_checkpoint", on_load_checkpoint)
    raise_in(TrainModule, 1, 5, signal.SIGTERM)
    assert cli(*TRAIN, "--output", "broken").status == 143
    assert cli("train", "--resume", "broken").status == 0
    same_run(tmp_path)


@pytest.mark.parametrize("kind", ["sandwich", "mixture", "search by workers"])
def test_a_search_that_ends_after_its_last_epoch_takes_the_same_statistics(
    kind: str, cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = COMMANDS[kind]
    assert cli(*command, "--output", "unbroken").status == 0

    def press(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SearchModule, "validation_step", press)
        assert cli(*command, "--output", "broken").status == 130
    assert cli("search", "--resume", "broken").status == 0
    same_run(tmp_path)


def test_weights_that_are_no_numbers_are_not_kept(
    cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = TrainModule.training_step

    def training_step(self: TrainModule, *arguments: Any) -> Any:
        if (self.current_epoch, arguments[1]) == (1, 4):
            with torch.no_grad():
                self.network.get_parameter("fc.weight")[0] = float("nan")
        return step(self, *arguments)

    monkeypatch.setattr(TrainModule, "training_step", training_step)
    status, _, err = cli(*TRAIN, "--checkpoint-every", "1step", "--output", "broken")
    assert status == 2
    said = r".*--lr: after step 21 network\.\S+ is not finite any more; a lower value may help"
    assert re.fullmatch(said, err.splitlines()[-1])
    state = torch.load(tmp_path / "broken/checkpoints/last.ckpt", weights_only=True)
    assert (state["epoch"], state["inside_epoch"]["seen"]) == (1, 3)  # the twentieth step was logged


def test_steps_are_counted_on_where_a_run_goes_on(
    cli: Callable, few_digits: None, raise_in: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, steps = Checkpoints.save, list[int]()

    def counted(self: Checkpoints, trainer: Any, module: Any, step: int) -> None:
        steps.append(step)
        save(self, trainer, module, step)

    monkeypatch.setattr(Checkpoints, "save", counted)
    raise_in(TrainModule, 0, 6, signal.SIGTERM)
    assert cli(*TRAIN, "--checkpoint-every", "6steps", "--output", "broken").status == 143
    assert cli("train", "--resume", "broken").status == 0
    assert steps == [6, 7, 13, 16, 22, 28, 32, 38, 44, 48]


def test_what_the_compiler_cannot_do_is_not_said_of_the_checkpoint(
    cli: Callable, few_digits: None, raise_in: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_in(TrainModule, 0, 2, signal.SIGTERM)
    assert cli(*TRAIN, "--output", "broken").status == 143

    def training_step(self: TrainModule, *_: Any) -> None:
        raise TorchDynamoException("no way")

    monkeypatch.setattr(TrainModule, "training_step", training_step)
    status, _, err = cli("train", "--resume", "broken")
    assert status == 2 and "--compile: torch.compile cannot do this here (no way)" in err.splitlines()[-1]


def test_resume_without_a_run_takes_the_newest_unfinished_one(
    cli: Callable, few_digits: None, raise_in: Callable, refused: Callable
) -> None:
    assert "--resume: no unfinished run in runs/train; name its directory" in refused("train", "--resume")
    for number in range(2):
        raise_in(TrainModule, 0, number, signal.SIGTERM)
        assert cli(*TRAIN, "--output", f"runs/train/{number}").status == 143
    status, out, _ = cli("train", "--resume", "--checkpoint-every", "5steps")
    assert status == 0 and "resume: going on with runs/train/1" in out
    assert Run("runs/train/1").finished() and not Run("runs/train/0").finished()


@pytest.mark.parametrize("given", ["0min", "10", "5 days", "1.5steps", "min", "-3steps"])
def test_bad_intervals_are_one_line(given: str, refused: Callable) -> None:
    said = refused("train", f"--checkpoint-every={given}")
    assert f"--checkpoint-every is {given}; allowed: a time such as 30s, 10min or 2h" in said


def test_no_checkpoints_at_all_are_refused(refused: Callable) -> None:
    assert "--keep-checkpoints is 0; allowed: 1 or more" in refused("train", "--keep-checkpoints", 0)
