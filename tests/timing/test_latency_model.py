"""What is said of the times that latencies are predicted by."""

import json
from pathlib import Path

import pytest

from tas.architecture import Architecture
from tas.networks import open_network
from tas.timing import latency_model, layer_table
from tas.timing.latency_cache import LatencyCache
from tas.timing.latency_model import SAMPLES, PredictedLatency, predicted_latency
from tas.timing.setting import Setting
from tests.spaces import paper_space, unpruned


class Rigged:
    """Says that a network takes half of the unpruned one's time, now a little more and now a little less."""

    swing = 0.0

    def __init__(self, *_: object) -> None: ...

    def times(self, _: Architecture, seconds: float, rounds: int) -> tuple[tuple[float, ...], ...]:
        assert seconds > 0
        own = [0.5 + self.swing * (place % 2) for place in range(rounds)]
        return (1.0,) * rounds, tuple(own)


def predicted(monkeypatch: pytest.MonkeyPatch, cache: LatencyCache) -> PredictedLatency:
    """By layers that all take a millisecond and networks that a stopwatch invents."""
    monkeypatch.setattr(latency_model, "Stopwatch", Rigged)
    monkeypatch.setattr(layer_table, "time_of", lambda *_: 1e-3)
    space = paper_space(unpruned("resnet20"))
    return predicted_latency(open_network("resnet20", 10, 3), space, Setting(), cache)


def test_the_file_says_how_far_predictions_are_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = predicted(monkeypatch, LatencyCache.of(Setting(), tmp_path))
    cache = LatencyCache.of(Setting(), tmp_path)
    (told,) = json.loads(cache.path.read_text())["errors"].values()
    assert told == {"network": "resnet20", "median_error": found.median_error, "worst_error": found.worst_error}
    assert len(cache.networks) == SAMPLES and predicted(monkeypatch, cache) == found


@pytest.mark.parametrize("swing", [0.0, 0.05, 0.3])
def test_times_that_scatter_are_said_once(
    swing: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Rigged, "swing", swing)
    cache = LatencyCache.of(Setting(), tmp_path)
    predicted(monkeypatch, cache)
    said = capsys.readouterr().err
    assert ("times scatter" in said and str(cache.path) in said) == (swing > 0.1)
    predicted(monkeypatch, cache)
    assert not capsys.readouterr().err
