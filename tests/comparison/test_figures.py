from typing import TYPE_CHECKING

import pytest

from tas.comparison.figures import draw_curves, draw_pareto
from tas.comparison.rows import Row
from tas.comparison.statistics import means
from tests.comparison.rows import row, unpruned

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def test_accuracy_is_drawn_against_what_was_aimed_at() -> None:
    rows = [row(method, 0, 0.5, kd=kd) for method in ("uniform", "tas") for kd in (False, True)]
    rows += [row("tas", seed, 0.6 + seed / 100, measure="params", params_ratio=0.3) for seed in (0, 1)]
    panels = draw_pareto(means([*rows, unpruned(0, 0.7)])).axes
    labels = [axes.get_xlabel().partition(",")[0] for axes in panels]
    assert labels == 2 * ["FLOPs kept"] + 2 * ["parameters kept"]
    assert [axes.get_title() for axes in panels] == 2 * ["scratch-e", "scratch-e+kd"]
    points = [[line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "s"] for axes in panels]
    assert points == [[[[0.5, 0.5]]], [[[0.5, 0.5]]], [[[0.3, 0.605]]], [[]]], "of tas"


BARS = "bars: standard deviation over"


def drawn(rows: list[Row]) -> "Figure":
    return draw_pareto(means([*rows, unpruned(0, 0.7)]))


def front(figure: "Figure") -> list[list[list[float]]]:
    """The points of the front in each panel; none where there is no line."""
    lines = [[line for line in axes.lines if line.get_label() == "Pareto front"] for axes in figure.axes]
    return [[list(point) for line in panel for point in line.get_xydata()] for panel in lines]


def test_the_front_connects_the_best_of_different_targets() -> None:
    rows = [
        row(method, 0, accuracy + target / 10, target=target, flops_ratio=target + gap)
        for target in (0.3, 0.5)
        for method, accuracy, gap in (("uniform", 0.5, -0.002), ("random", 0.51, -0.001), ("tas", 0.52, 0.001))
    ]
    assert front(drawn(rows)) == [[pytest.approx([0.301, 0.55]), pytest.approx([0.501, 0.57])]]


def test_costs_that_differ_by_roundings_of_a_target_have_no_front() -> None:
    rows = [row("uniform", 0, 0.5, flops_ratio=0.498), row("tas", 0, 0.6, flops_ratio=0.502)]
    figure = drawn(rows)
    assert front(figure) == [[]]
    assert "Pareto front" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_what_missed_its_target_is_not_the_best_of_it() -> None:
    rows = [row("uniform", 0, 0.5, target=target, flops_ratio=target) for target in (0.3, 0.5)]
    rows[0] = row("uniform", 0, 0.4, target=0.3, flops_ratio=0.3)
    missed = row("tas", 0, 0.65, target=0.3, flops_ratio=0.45, target_met=False)
    assert front(drawn([*rows, missed])) == [[[0.3, 0.4], [0.5, 0.5]]]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"tas": 1, "uniform": 1}, "one seed: no spread is known"),
        ({"tas": 3, "uniform": 3}, f"{BARS} 3 seeds"),
        (
            {"tas": 3, "uniform": 1},
            "bars: standard deviation over 3 seeds; without a bar: one seed, no spread is known",
        ),
    ],
)
def test_the_picture_says_what_is_known_of_the_spread(seeds: dict[str, int], said: str) -> None:
    rows = [row(name, seed, 0.6 + seed / 100) for name, count in seeds.items() for seed in range(count)]
    figure = drawn(rows)
    assert figure.get_supxlabel().startswith(f"{said}; the axis of accuracies begins at ")
    bars = [container.lines[2][0].get_segments() for container in figure.axes[0].containers]
    known = [any(len(segment) == 2 and (segment[0] != segment[1]).any() for segment in own) for own in bars]
    assert known == [count > 1 for count in seeds.values()]


def test_tiny_differences_do_not_fill_the_axes() -> None:
    rows = [row("uniform", 0, 0.6, flops_ratio=0.4999), row("tas", 0, 0.601, flops_ratio=0.5001)]
    rows += [row("tas", 0, 0.52, kd=True, flops_ratio=0.5)]
    figure = draw_pareto(means(rows))
    for axes in figure.axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert right - left >= 0.04 - 1e-9 and high - low >= 0.05 - 1e-9
        assert low < 0.52 and high > 0.601, "of all panels, which share the axis"
        assert axes.get_xlabel() == "FLOPs kept, % of the unpruned network's"
    assert figure.axes[0].get_ylabel() == "test accuracy, %"
    assert f"begins at {figure.axes[0].get_ylim()[0]:.1%}" in figure.get_supxlabel()
    assert figure.axes[0].yaxis.get_major_formatter()(0.6) == "60.0"


def test_accuracies_near_zero_are_shown_from_zero() -> None:
    figure = draw_pareto(means([row("tas", 0, 0.01)]))
    assert figure.axes[0].get_ylim()[0] == 0


def test_the_curves_are_of_what_was_aimed_at() -> None:
    labels = [axes.get_ylabel() for axes in draw_curves({}, ["flops", "params"]).axes]
    assert labels == ["FLOPs of the likeliest network", "parameters of the likeliest network", "mean confidence"]
    assert len(draw_curves({}, ["params"]).axes) == 2
