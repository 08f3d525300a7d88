"""Measured times are kept, and a file that is none is said and begun anew."""

import threading
from pathlib import Path

import pytest

from tas.timing.latency_cache import LatencyCache, measuring_alone
from tas.timing.setting import Setting


def test_what_is_written_is_read_by_the_same_setting_alone(tmp_path: Path) -> None:
    cache = LatencyCache.of(Setting(), tmp_path)
    cache.layers["conv"], cache.networks["space 0"] = 1e-3, [2e-3, 0.5]
    cache.write()
    again = LatencyCache.of(Setting(), tmp_path)
    assert (again.layers, again.networks) == ({"conv": 1e-3}, {"space 0": [2e-3, 0.5]})
    for other in (Setting(threads=2), Setting(batch=8), Setting(runtime="onnxruntime")):
        assert LatencyCache.of(other, tmp_path).layers == {}


BROKEN = (
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"layers": {"a": -1.0}, "networks": {}}',
    '{"layers": {"a": NaN}, "networks": {}}',
    '{"layers": {"a": "soon"}, "networks": {}}',
    '{"layers": {}, "networks": {"a": [1.0]}}',
    '{"layers": {}, "networks": {"a": 1.0}}',
    "[" * 100_000,
)


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_corrupt_file_is_said_and_measured_anew(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = LatencyCache.of(Setting(), tmp_path).path
    path.write_text(content)
    cache = LatencyCache.of(Setting(), tmp_path)
    assert (cache.layers, cache.networks) == ({}, {})
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line and "measured anew" in line
    cache.layers["conv"] = 1e-3
    cache.write()
    assert LatencyCache.of(Setting(), tmp_path).layers == {"conv": 1e-3}


def test_where_nothing_can_be_written_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    cache = LatencyCache.of(Setting(), tmp_path / "file" / "below")
    cache.write()
    assert "the measured times are not kept" in capsys.readouterr().err


def test_who_measures_at_the_same_time_waits_and_then_finds_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, order = LatencyCache.of(Setting(), tmp_path).path, list[str]()

    def second() -> None:
        with measuring_alone(path):
            order.append(str(LatencyCache.of(Setting(), tmp_path).layers))

    with measuring_alone(path):
        other = threading.Thread(target=second)
        other.start()
        while "another process measures" not in capsys.readouterr().err:
            assert other.is_alive()
        order.append("first")
        cache = LatencyCache.of(Setting(), tmp_path)
        cache.layers["conv"] = 1e-3
        cache.write()
    other.join()
    assert order == ["first", "{'conv': 0.001}"]


def test_where_no_lock_can_be_had_it_is_measured_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with measuring_alone(tmp_path / "file" / "below.json"):
        pass
