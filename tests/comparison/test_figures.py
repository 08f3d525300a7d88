from tas.comparison.figures import draw_curves, draw_pareto
from tas.comparison.statistics import means
from tests.comparison.rows import row, unpruned


def test_accuracy_is_drawn_against_what_was_aimed_at() -> None:
    rows = [row(method, 0, 0.5, kd=kd) for method in ("uniform", "tas") for kd in (False, True)]
    rows += [row("tas", seed, 0.6 + seed / 100, measure="params", params_ratio=0.3) for seed in (0, 1)]
    panels = draw_pareto(means([*rows, unpruned(0, 0.7)])).axes
    assert [axes.get_xlabel() for axes in panels] == 2 * ["FLOPs kept"] + 2 * ["parameters kept"]
    assert [axes.get_title() for axes in panels] == 2 * ["scratch-e", "scratch-e+kd"]
    points = [[line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "s"] for axes in panels]
    assert points == [[[[0.5, 0.5]]], [[[0.5, 0.5]]], [[[0.3, 0.605]]], [[]]], "of tas"


def test_the_curves_are_of_what_was_aimed_at() -> None:
    labels = [axes.get_ylabel() for axes in draw_curves({}, ["flops", "params"]).axes]
    assert labels == ["FLOPs of the likeliest network", "parameters of the likeliest network", "mean confidence"]
    assert len(draw_curves({}, ["params"]).axes) == 2
