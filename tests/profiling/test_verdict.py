"""What is said of made-up figures."""

import pytest

from tas.profiling.layers import LayerTable, LayerTime
from tas.profiling.measure import Latency
from tas.profiling.verdict import arrived, stayed, verdict
from tas.timing.interleaved import Spread

TABLE = LayerTable("CPU", 64, (LayerTime("conv", "Conv2d", 3.0, 3.0), LayerTime("bn", "BatchNorm2d", 1.0, 1.0)))


def row(kept: float, engine: str = "PyTorch", images: int = 1) -> Latency:
    return Latency(engine, "CPU", images, 9, Spread(1, 1, 1), Spread(kept, kept, kept), Spread(kept, kept, kept))


@pytest.mark.parametrize(
    ("time", "flops", "did_not_fall"),
    [
        (0.97, 0.5, True),
        (1.2, 0.5, True),
        (0.9, 0.5, False),
        (0.5, 0.5, False),
        (0.93, 0.92, False),
        (1.0, 0.96, False),
    ],
)
def test_time_stays_where_it_is_near_1_and_well_above_the_flops(time: float, flops: float, did_not_fall: bool) -> None:
    assert stayed(time, flops) is did_not_fall


def test_how_much_of_a_saving_arrives() -> None:
    assert arrived(0.75, 0.5) == pytest.approx(0.5)
    assert arrived(0.5, 0.5) == pytest.approx(1)
    assert arrived(1.1, 0.5) == pytest.approx(-0.2)
    assert arrived(1.0, 1.0) is None


def test_flops_that_fell_without_time_are_said_beside_those_with() -> None:
    said = verdict(0.5, [row(0.97), row(0.75, images=64), row(0.6, "ONNX Runtime")], TABLE, True)
    assert said[0] == "FLOPs fell to 50.0%, and time did not: PyTorch, CPU, 1 image (97% of the time left)."
    assert said[1] == (
        "Of the 50.0% of FLOPs saved, 50% arrive as time (PyTorch, CPU, 64 images), "
        "up to 80% (ONNX Runtime, CPU, 1 image)."
    )
    assert said[2] == "Half of the smaller network's time is in these, on the CPU, 64 images: conv 75%."
    assert said[3] == "By kind of layer: Conv2d 75%, BatchNorm2d 25%; before: Conv2d 75%, BatchNorm2d 25%."


def test_without_a_saving_there_is_nothing_to_follow() -> None:
    said = verdict(1.0, [row(1.0)], TABLE, True)
    assert said[0] == "100.0% of the FLOPs are left: there is no saving that time could follow."


def test_of_one_network_only_the_layers_are_told() -> None:
    alone = Latency("PyTorch", "CPU", 1, 9, Spread(1, 1, 1), None, None)
    said = verdict(1.0, [alone], TABLE, False)
    assert said == [
        "Half of the network's time is in these, on the CPU, 64 images: conv 75%.",
        "By kind of layer: Conv2d 75%, BatchNorm2d 25%.",
    ]
