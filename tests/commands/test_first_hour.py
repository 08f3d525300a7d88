"""What a user is told on the way: of an unfinished run, a choice that is a draw, the next command; several devices."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tas.config import PruneOptions, SearchOptions
from tas.runs.run import Run
from tests.conftest import run_script

QUICK = ["--epochs", "1", "--batch-size", "32"]
MIXTURE = [*QUICK, "--strategy", "gumbel-mixture"]


@pytest.mark.parametrize(("command", "options"), [("search", SearchOptions()), ("prune", PruneOptions())])
def test_training_an_unfinished_run_says_how_to_go_on_with_it(
    command: str, options: SearchOptions | PruneOptions, refused: Callable, tmp_path: Path
) -> None:
    Run(tmp_path / "begun").start(options)
    line = refused("train", "--architecture", "begun")
    assert f"--architecture begun: that run is not finished; go on with tas {command} --resume begun" in line


def test_a_search_says_when_it_begins_to_choose_and_that_a_short_one_s_choice_is_a_draw(
    cli: Callable, few_digits: None
) -> None:
    status, out, err = cli("search", *MIXTURE, "--warmup", "0.5", "--output", "short")
    assert status == 0
    assert "\nwarm-up until epoch 1 of 1: the weights learn alone" in out
    assert re.search(r"confidence +0\.0\d\d \(0: all candidates alike, 1: sure\)", out)
    assert "close to a draw among the networks inside the budget" in err
    status, out, err = cli("search", *MIXTURE, "--warmup", "0", "--arch-lr", "300", "--output", "sure")
    assert status == 0 and "warm-up" not in out and "close to a draw" not in err


def test_what_is_printed_as_next_can_be_typed(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    status, out, err = cli("train", "--network", "resnet20", *QUICK)
    assert status == 0, err
    (command,) = re.findall(r"next +(tas search .*)", out)
    status, out, err = cli(*command.split()[1:], *QUICK)
    assert status == 0, err
    (command,) = re.findall(r"next +(tas train .*)", out)
    status, out, err = cli(*command.split()[1:], *QUICK)
    assert status == 0, err
    (code,) = re.findall(r'next +python -c "(.*)"', out)
    exec(code)


@pytest.mark.slow
@pytest.mark.parametrize("script", ["search.py", "train.py"])
def test_two_devices_are_asked_for_by_their_number_alone(script: str, tmp_path: Path) -> None:
    own = ["--network", "resnet20"] if script == "train.py" else []
    given = [*own, "--accelerator", "cpu", "--devices", "2", "--epochs", "2", "--output", "run"]
    status, out, err = run_script(script, *given, cwd=tmp_path)
    assert status == 0, err
    assert "finished" in out and Run(tmp_path / "run").finished()
    said = [line for line in re.split(r"[\r\n]+", err) if line and not re.search("step/s|s/step", line)]
    assert all(line.startswith("tas ") for line in said), said
