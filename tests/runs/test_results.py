import json
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from tas.errors import TasError
from tas.runs.results import FoundResult, PruneResult, Result, SearchResult, TrainResult
from tas.runs.run import Run
from tests.results import prune_result, search_result, train_result

RESULTS = [
    search_result(),
    search_result(flops_target=None, params_target=0.4, target_met=False, reachable=(0.3, 0.5)),
    prune_result(),
    prune_result(flops_nonzero=40, flops_nonzero_ratio=0.4, sparsity_weight=0.01),
    train_result(),
    train_result(kd=True, teacher_accuracy=0.75),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def refusal(run: Run, kind: type[Result]) -> str:
    with pytest.raises(TasError) as error:
        kind.read(run)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.command)
def test_a_result_is_read_back_equal(result: Result, run: Run) -> None:
    result.write(run)
    assert run.finished()
    assert Result.read(run) == result == type(result).read(run)
    assert type(Result.read(run)) is type(result)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.command)
def test_metrics_name_the_command_and_have_every_field(result: Result, run: Run) -> None:
    result.write(run)
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    # What scores say stands beside the rest.
    assert list(metrics) == ["command", *(field.name for field in fields(result) if field.name != "standing")]
    assert metrics["command"] == result.command


def test_a_result_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        search_result().flops = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (search_result(), TrainResult),
        (search_result(), PruneResult),
        (prune_result(), SearchResult),
        (prune_result(), TrainResult),
        (train_result(), SearchResult),
        (train_result(), PruneResult),
    ],
    ids=lambda value: value.command,
)
def test_the_result_of_another_command_is_refused(result: Result, kind: type[Result], run: Run) -> None:
    result.write(run)
    said = f"{run.path}: not a finished run of tas {kind.command}, but of tas {result.command}"
    assert refusal(run, kind) == said


def test_a_network_is_found_by_a_search_or_a_pruning(run: Run) -> None:
    for result in (search_result(), prune_result()):
        result.write(run)
        assert FoundResult.read(run) == result
    train_result().write(run)
    assert refusal(run, FoundResult).endswith(": not a finished run of tas search or tas prune, but of tas train")


def test_a_missing_result_is_named(run: Run) -> None:
    assert refusal(run, TrainResult) == f"{run.metrics}: cannot be read (No such file or directory)"


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"command": "train", "flops"',
        "[]",
        "3",
        "null",
        "{}",
        '{"command": "dance"}',
        '{"command": ["train"]}',
        '{"command": "train"}',
        '{"command": "search", "likeliest": 3}',
        '{"flops": 1, "test_accuracy": 0.5}',  # of an older version
        "\x00",
    ],
)
def test_what_is_no_result_is_refused(text: str, run: Run) -> None:
    run.metrics.write_text(text, encoding="utf-8")
    said = refusal(run, TrainResult)
    assert said.startswith((f"{run.metrics}: not the result of a run of this version", f"{run.metrics}: not a whole"))


@pytest.mark.parametrize("change", [{"test_accuracy": None}, {"more": 1}])
def test_a_result_with_a_field_too_few_or_too_many_is_refused(change: dict[str, object], run: Run) -> None:
    train_result().write(run)
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    for key, value in change.items():
        if key in metrics:
            del metrics[key]
        else:
            metrics[key] = value
    run.metrics.write_text(json.dumps(metrics), encoding="utf-8")
    assert "not the result of a run of this version of tas" in refusal(run, TrainResult)


def test_bytes_that_are_no_text_are_refused(run: Run) -> None:
    run.metrics.write_bytes(b"\xff\xfe\xfa")
    assert "not a whole JSON file" in refusal(run, TrainResult)


def test_the_share_that_counts_leaves_zeros_out() -> None:
    assert prune_result(flops_ratio=1.0).counted_ratio == 1.0
    assert prune_result(flops_ratio=1.0, flops_nonzero=40, flops_nonzero_ratio=0.4).counted_ratio == 0.4


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({}, []),
        ({"test_accuracy": 0.34, "constant_accuracy": 0.33}, []),
        (
            {"test_accuracy": 0.33, "constant_accuracy": 0.33},
            ["its test accuracy, 33.00%, is no better than one class"],
        ),
        ({"teacher_accuracy": 0.2, "constant_accuracy": 0.33}, ["its teachers' test accuracy, 20.00%, is no better"]),
        ({"train_accuracy": 0.9}, ["its accuracy is 90.00% on training and 50.00% on test images, worlds apart"]),
        ({"train_accuracy": 0.7}, []),
    ],
)
def test_a_training_says_what_speaks_against_it(measured: dict, said: list[str]) -> None:
    doubts = train_result(**measured).doubts()
    assert len(doubts) == len(said) and all(doubt.startswith(start) for doubt, start in zip(doubts, said))
