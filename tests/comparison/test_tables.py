import csv
import io
import json
from dataclasses import asdict

import pytest

from tas.comparison.agreement import Agreement
from tas.comparison.rank_correlation import RankCorrelation, pooled_rankings
from tas.comparison.rows import Row, as_csv, as_json
from tas.comparison.statistics import means
from tas.comparison.tables import agreement_table, markdown, pooled_table, rank_table, sentence, table
from tests.comparison.rows import difference, row, unpruned


def test_markdown_has_a_column_a_bar_and_aligned_cells() -> None:
    assert markdown(("a", "bb"), [("1", "2"), ("333", "4")]) == (
        "| a   | bb |\n| --- | -- |\n| 1   | 2  |\n| 333 | 4  |\n"
    )


def test_the_table_puts_methods_together_and_the_unpruned_network_last() -> None:
    rows = [
        row("uniform", 0, 0.5),
        row("uniform", 0, 0.6, kd=True),
        row("tas", 0, 0.51),
        row("tas", 1, 0.53),
        row("tas", 0, 0.61, kd=True, target_met=False),
        unpruned(0, 0.7),
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(means(rows)).splitlines()[2:]]
    assert [(line[1], line[2]) for line in lines] == [
        ("scratch-e", "uniform"),
        ("scratch-e", "tas"),
        ("scratch-e+kd", "uniform"),
        ("scratch-e+kd", "tas"),
        ("scratch-e", "unpruned"),
    ]
    assert lines[0][3] == "50.00 %" and lines[1][3] == "52.00 ± 1.41 %"
    assert lines[3][5] == "50.00%, MISSED" and lines[1][5] == "50.00%"


def test_the_table_has_the_share_of_the_parameters_where_that_was_aimed_at() -> None:
    rows = [row("uniform", 0, 0.5, params=12_345_000), row("tas", 0, 0.5, measure="params", params=12_345_000)]
    rows += [row("tas", 1, 0.5, measure="params", params=12_345_000, target_met=False), unpruned(0, 0.7)]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(means(rows)).splitlines()[2:]]
    assert [line[0] for line in lines] == ["0.5 FLOPs", "0.5 parameters", "-"]
    assert [line[5] for line in lines] == ["50.00%", "50.00%", "100.00%"]
    assert [line[6] for line in lines] == ["12.35 M", "12.35 M (40.00%), MISSED", "0.0010 M"]


def test_methods_that_save_nothing_stand_apart() -> None:
    shown = table(means([row("l1", 0, 0.5), row("unstructured", 0, 0.6)]), apart=["unstructured"])
    first, second = shown.split("\nSingle weights set to zero")
    assert "l1" in first and "unstructured" not in first
    assert "unstructured" in second and "| l1" not in second


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ([], "tas has no seed in common with uniform; nothing can be said."),
        ([0.01], "tas is +1.00 points from uniform (one common seed); with fewer than 3 seeds nothing can be said."),
        ([0.02, 0.0201], "2 seeds); with fewer than 3 seeds nothing can be said."),
        ([0.01, -0.01, 0], "(95 % interval -2.48 to +2.48, 3 seeds): no more than the seeds' spread."),
        ([0.019, 0.02, 0.021], "3 seeds): better by more than the seeds' spread."),
        ([-0.019, -0.02, -0.021], "3 seeds): worse by more than the seeds' spread."),
        ([0.25, 0.25, 0.25], "+25.00, 3 seeds); every seed differs by the same, so that there is no spread"),
    ],
)
def test_the_sentence_says_what_the_interval_says(gaps: list[float], said: str) -> None:
    text = sentence(difference(gaps))
    assert text.startswith("FLOPs 0.5, scratch-e: tas")
    assert said in text


def test_the_sentence_says_where_costs_differ() -> None:
    text = sentence(difference([0.019, 0.02, 0.021], flops_ratio=0.57, target_met=False))
    assert text.endswith("not at equal cost: 57.00% of the FLOPs and 50.00%; nothing can be said.")


def test_the_sentence_speaks_of_parameters_where_they_were_aimed_at() -> None:
    assert sentence(difference([0.019, 0.02, 0.021], "params")).startswith("parameters 0.5, scratch-e: tas is +2.00")
    text = sentence(difference([0.019, 0.02, 0.021], "params", params_ratio=0.57, target_met=False))
    assert text.endswith("not at equal cost: 57.00% of the parameters and 40.00%; nothing can be said.")


def test_every_table_says_what_was_aimed_at() -> None:
    alike = Agreement("tas", "params", 0.3, 3, 0.1, 0.2)
    ranked = RankCorrelation("tas", "params", 0.3, 0, 20, 0.2, 0.5, 0.72, 18, 0.7, 0.73)
    pooled = pooled_rankings([ranked])
    for text in (agreement_table([alike]), rank_table([ranked]), pooled_table(pooled)):
        assert "| 0.3 parameters | tas" in text


def test_rows_are_the_same_in_json_and_csv() -> None:
    rows = [row("tas", 0, 0.5), row("uniform", 1, 0.25, kd=True)]
    assert json.loads(as_json(rows)) == [asdict(one) for one in rows]
    assert json.loads(as_json([])) == []
    read = list(csv.DictReader(io.StringIO(as_csv(Row, rows))))
    as_text = [{key: "" if value is None else str(value) for key, value in asdict(one).items()} for one in rows]
    assert as_text == read
