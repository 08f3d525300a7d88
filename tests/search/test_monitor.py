import csv
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tas.runs.run import Run
from tas.search.monitor import PictureTime, distribution_figure, distribution_rows
from tas.training.schedules import cosine
from tests.spaces import paper_space, unpruned


def test_the_picture_of_what_is_learned_has_a_row_for_each_choice() -> None:
    space = paper_space(unpruned("resnet20", num_classes=10))
    widths = {name: torch.full((len(values),), 1 / len(values)) for name, values in space.widths.items()}
    depths = {name: torch.full((len(values),), 1 / len(values)) for name, values in space.depths.items()}
    figure = distribution_figure(space, widths, depths)
    rows = [[label.get_text() for label in axes.get_yticklabels()] for axes in figure.axes[:2]]
    assert rows == [list(space.widths), list(space.depths)]


def test_the_picture_shows_the_probabilities() -> None:
    space = paper_space(unpruned("resnet20", num_classes=10))
    learned = [
        {name: torch.arange(1.0, len(values) + 1) / 100 for name, values in choices.items()}
        for choices in (space.widths, space.depths)
    ]
    figure = distribution_figure(space, *learned)
    for axes, distributions in zip(figure.axes, learned):
        cells = axes.images[0].get_array()
        for row, probabilities in zip(cells, distributions.values()):
            assert torch.allclose(torch.tensor(row.compressed()).float(), probabilities)


def test_the_rows_of_what_is_learned_are_one_a_candidate() -> None:
    space = paper_space(unpruned("resnet20", num_classes=10))
    learned = [
        {name: torch.full((len(values),), 1 / len(values)) for name, values in choices.items()}
        for choices in (space.widths, space.depths)
    ]
    rows = distribution_rows(4, space, *learned)
    for kind, choices in (("width", space.widths), ("depth", space.depths)):
        own = [row for row in rows if row["kind"] == kind]
        assert [(row["name"], row["candidate"]) for row in own] == [
            (name, candidate) for name, values in choices.items() for candidate in values
        ]
        assert {row["epoch"] for row in own} == {4}


def test_pictures_take_no_more_than_their_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    pictures, drawn = PictureTime(), []
    for second in range(1000):
        now = max(now, float(second))
        if pictures.left():
            drawn.append(second)
            with pictures.counted():
                now += 0.4
    assert drawn[0] == 50  # with that at the end, of which it does not know more yet
    assert 0.015 * 1000 < 0.4 * len(drawn) <= 0.02 * 1000


@pytest.mark.parametrize(("strategy", "every"), [("gumbel-mixture", 2), ("sandwich", 4)])
def test_distributions_are_kept_ten_times_or_if_they_have_to_be_measured_five_and_after_the_last_epoch(
    strategy: str, every: int, cli: Callable, few_digits: None, tmp_path: Path
) -> None:
    options = ["--strategy", strategy, "--epochs", "21", "--batch-size", "32", "--output", "run"]
    assert cli("search", *options).status == 0
    text = Run(tmp_path / "run").distributions.read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert list(dict.fromkeys(int(row["epoch"]) for row in rows)) == [*range(every, 21, every), 21]
    sums: dict[tuple[str, str], float] = {}
    for row in rows:
        key = row["epoch"], row["name"]
        sums[key] = sums.get(key, 0) + float(row["probability"])
    assert all(abs(one - 1) < 1e-5 for one in sums.values())


@pytest.mark.parametrize("strategy", ["gumbel-mixture", "sandwich"])
def test_rows_of_curves_have_the_scalars_of_their_own_steps(
    strategy: str, cli: Callable, few_digits: None, tmp_path: Path
) -> None:
    options = ["--strategy", strategy, "--epochs", "3", "--batch-size", "2", "--lr", "0.01", "--output", "run"]
    assert cli("search", *options).status == 0
    rows = list(csv.DictReader(Run(tmp_path / "run").curves.read_text(encoding="utf-8").splitlines()))
    rates = {int(row["step"]): float(row["schedule/lr"]) for row in rows if row["schedule/lr"]}
    steps = max(rates) + 1
    assert any((step + 1) % 10 for step in rates)  # those of epochs' ends too
    assert rates == pytest.approx({step: cosine(0.01, step / steps) for step in rates}, rel=1e-6)
