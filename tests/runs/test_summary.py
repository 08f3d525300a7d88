import dataclasses

import pytest

from tas.architecture import Architecture
from tas.runs.picture import draw_architecture
from tas.runs.summary import change, millions, percent, summary
from tests.spaces import plan_of, unpruned

FULL = unpruned("resnet20", num_classes=10)


def test_the_summary_is_two_aligned_columns_under_its_title() -> None:
    lines = summary("done", [("a", "1"), ("longer name", "2 and 3"), ("", "4")]).splitlines()
    assert lines[1] == "done"
    assert lines[3:6] == ["  a            1", "  longer name  2 and 3", "               4"]
    assert lines[0] == lines[2] == lines[6] == "-" * len("  longer name  2 and 3")


def test_the_rule_is_as_long_as_a_long_title() -> None:
    assert summary("a long title", [("a", "1")]).splitlines()[0] == "-" * len("a long title")


@pytest.mark.parametrize(("count", "text"), [(40813184, "40.81 M"), (10_000, "0.01 M"), (1234, "0.0012 M")])
def test_counts_are_shown_in_millions(count: int, text: str) -> None:
    assert millions(count) == text


def test_a_change_shows_both_ends_and_the_share_kept() -> None:
    assert change(40_000_000, 10_000_000) == "40.00 M -> 10.00 M (25.0%)"


def test_a_share_is_shown_in_percent_and_a_missing_one_as_a_dash() -> None:
    assert percent(0.98765) == "98.77%" and percent(0.0) == "0.00%" and percent(None) == "-"


def found() -> Architecture:
    """Every convolution half as wide, a block of the last stage dropped."""
    widths = {name: width // 2 for name, width in FULL.widths.items()}
    stages = list(FULL.depths)
    return dataclasses.replace(FULL, widths=widths, depths={**FULL.depths, stages[-1]: 2})


def test_the_picture_has_a_bar_for_every_convolution_full_and_kept() -> None:
    (axes,) = draw_architecture(plan_of(FULL.network), found()).axes
    full, kept = axes.containers
    assert [bar.get_height() for bar in full] == list(FULL.widths.values())
    last = list(FULL.depths)[-1]
    expected = [0 if name.startswith(f"{last}.2.") else width // 2 for name, width in FULL.widths.items()]
    assert [bar.get_height() for bar in kept] == expected
    assert 0 in expected
    centres = [bar.get_x() + bar.get_width() / 2 for bar in kept]
    assert centres == pytest.approx(range(len(FULL.widths)))


def test_the_picture_names_every_stage_with_the_blocks_kept() -> None:
    (axes,) = draw_architecture(plan_of(FULL.network), found()).axes
    shown = [text.get_text() for text in axes.texts]
    assert shown == [f"{stage}: {found().depths[stage]} of {depth} blocks" for stage, depth in FULL.depths.items()]


@pytest.mark.parametrize("network", ["resnet110", "resnet164"])
def test_the_picture_of_a_deep_network_can_be_saved(network: str, tmp_path) -> None:
    path = tmp_path / "architecture.png"
    draw_architecture(plan_of(network), unpruned(network, num_classes=10)).savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
