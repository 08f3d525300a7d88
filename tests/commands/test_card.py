"""The model card."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tas.runs.card import write_card
from tas.runs.results import Result
from tas.runs.run import Run
from tests.results import prune_result, search_result, train_result


def card_of(run: Run, result: Result) -> tuple[dict[str, Any], str]:
    """What hubs read, and what people do."""
    write_card(run, result)
    _, head, text = run.card.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_trained_network_s_card_says_what_it_is_how_good_and_how_it_is_used(make_teacher: Callable[..., Run]) -> None:
    head, text = card_of(make_teacher(), train_result(test_accuracy=0.875, teacher_accuracy=0.9))
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert model["name"] == "teacher"
    assert result["dataset"]["type"] == "digits"
    assert result["metrics"][0]["value"] == 0.875
    assert head["tags"] == ["image-classification", "pruning"]
    for said in ("50.0% of its FLOPs", "87.50%", "90.00%", "grey, 8x8 pixels", "0.3054", "tas predict . image.png"):
        assert said in text
    assert "torch.zeros(1, 1, 8, 8)" in text and "tas train --config config.yaml" in text


def test_an_unpruned_network_is_called_so(make_teacher: Callable[..., Run]) -> None:
    full = {"flops": 100, "flops_ratio": 1.0, "params": 100, "params_ratio": 1.0}
    head, text = card_of(make_teacher(), train_result(**full))
    assert head["tags"] == ["image-classification"]
    assert "unpruned" in text and "->" not in text


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (search_result(), "tas search --config config.yaml"),
        (search_result(derived_from="runs/search/a"), "tas derive runs/search/a --output"),
        (prune_result(), "tas prune --config config.yaml"),
    ],
)
def test_what_was_found_is_said_to_be_a_start(make_search: Callable[..., Run], result: Result, said: str) -> None:
    head, text = card_of(make_search(), result)
    assert "model-index" not in head
    assert "Its weights are what a training may start from" in text
    assert said in text
