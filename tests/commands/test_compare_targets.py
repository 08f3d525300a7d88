"""Comparisons at latencies and peak memories, each alone and several at once, on a machine whose times are made up."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tas
from tas.cost.memory import peak_activations
from tests.commands.conftest import Machine

TINY = ("--network", "resnet20", "--train-images", 60, "--epochs", 1, "--batch-size", 32, "--seeds", 0)
MADE_UP = ("--latency-threads", 1)


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """The rows of a comparison, without the unpruned network's."""
    rows = json.loads((directory / "results.json").read_text(encoding="utf-8"))
    return [row for row in rows if row["method"] != "unpruned"]


def time_of(network: torch.nn.Module) -> float:
    """What a ResNet-20 takes on the made-up machine, as a share of the unpruned one's time."""
    return 0.1 + 0.9 * (tas.flops(network, (1, 8, 8)) / 2_532_992) ** 0.7


def peak_of(network: torch.nn.Module) -> int:
    return peak_activations(network.cpu().eval(), torch.randn(1, 1, 8, 8))


@pytest.mark.slow
def test_each_target_alone(machine: Machine, cli: Callable, tmp_path: Path) -> None:
    lists = ("--latency-targets", "[0.6,7ms]", "--memory-targets", "[0.5]")
    methods = ("--methods", "uniform", "l1")
    status, out, err = cli("compare", *methods, *lists, *MADE_UP, *TINY, "--output", "out")
    assert status == 0, err
    home = tmp_path / "out"
    rows = rows_of(home)
    assert {(row["method"], row["measure"], row["aimed"]) for row in rows} == {
        (method, measure, aimed)
        for method in ("uniform", "l1")
        for measure, aimed in (("latency", "0.6"), ("latency", "7ms"), ("memory", "0.5"))
    }
    for row in rows:
        found = tas.load(home / "structures" / row["method"] / f"{row['measure']}-{row['aimed']}" / "seed0")
        assert row["target_met"]
        if row["measure"] == "latency":
            assert row["latency_ratio"] == pytest.approx(time_of(found)) == pytest.approx(row["target"], rel=0.02)
            assert row["latency_low"] == row["latency_high"] == row["latency_ratio"] and row["memory"] is None
        else:
            assert row["memory"] == peak_of(found) <= 1.02 * 0.5 * 20_736 and row["latency_ratio"] is None
    table = (home / "table.md").read_text(encoding="utf-8")
    for said in ("| latency ", "| peak memory ", "| 0.6 latency ", "| 7ms latency ", "| 0.5 peak memory "):
        assert said in table
    assert "l1 latency-0.6, seed 0: " in out and "% of the latency in" in out and "% of the peak memory in" in out
    timed = machine.whole
    status, out, _ = cli("compare", *methods, *lists, *MADE_UP, *TINY, "--output", "out")
    assert status == 0 and "13 of them finished before" in out and machine.whole == timed


@pytest.mark.slow
def test_several_together(machine: Machine, cli: Callable, tmp_path: Path) -> None:
    lists = ("--flops-targets", "[0.5]", "--latency-targets", "[0.65]", "--memory-targets", "[0.6]", "--together")
    lists += ("--tolerance", 0.05)
    methods = ("--methods", "balanced", "random", "--prune.candidates", 2, "--training=")
    status, out, err = cli("compare", *methods, *lists, *MADE_UP, *TINY, "--output", "out")
    assert status == 0, err
    for method in ("balanced", "random"):
        run = tmp_path / "out" / "structures" / method / "0.5+latency-0.65+memory-0.6" / "seed0"
        network, metrics = tas.load(run), json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["target_met"] and metrics["memory"] == peak_of(network) <= 1.05 * 0.6 * 20_736
        assert 0.475 <= tas.flops(network, (1, 8, 8)) / 2_532_992 <= 0.525
        assert metrics["latency"]["ratio"] == pytest.approx(time_of(network)) == pytest.approx(0.65, rel=0.05)
    assert "% of the FLOPs, " in out and "% of the latency, " in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--latency-targets", "0.6", "--methods", "slimming"), "--latency-targets: not with --methods slimming; allo"),
        (("--memory-targets", "1GB"), "--memory-targets 1GB: resnet20 has 20.7 kB peak memory unpruned; give at most"),
        (("--latency-targets", "3s"), "--latency-targets 3s: resnet20 has "),
        (("--latency-targets", "0.6", "--jobs", "2"), "--latency-targets: times are measured with nothing beside; not"),
        (("--latency-targets", "0.6", "--together"), "--together is given, and --latency-targets with 1; allowed: two"),
    ],
)
def test_what_cannot_be_aimed_at_is_refused_before_anything_runs(
    arguments: tuple[str, ...], message: str, machine: Machine, refused: Callable, tmp_path: Path
) -> None:
    assert message in refused("compare", "--methods", "uniform", *arguments, *MADE_UP, "--output", "out")
    assert not (tmp_path / "out").exists()
