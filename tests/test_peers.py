"""What other tools leave of a network becomes one of tas's, is fine-tuned, and has a row."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from tests.conftest import ROOT, environment
from tests.small_networks import chain, conv

NETWORK = "tests.test_peers:depthwise"
KEYS = {"network", "target", "method", "seed", "flops_ratio", "off_target", "test_accuracy"}
KEYS |= {"search_seconds", "whole_seconds"}


def depthwise() -> nn.Module:
    """Wide enough for FastNAS, which fails where a depthwise convolution would have one channel."""
    convolutions = conv(3, 32), nn.BatchNorm2d(32), conv(32, 32, groups=32), nn.BatchNorm2d(32), nn.ReLU6()
    return chain(*convolutions, conv(32, 8, 1))


@pytest.fixture
def peers(make_folder: Callable, tmp_path: Path) -> Callable:
    """Call the script on a few images: what it printed, and its rows by method, which it wrote to a file too."""
    classes = {str(label): 6 for label in range(5)}
    images = make_folder({"train": classes, "test": classes}, (8, 8))

    def call(*methods: str, target: float = 0.5) -> tuple[subprocess.CompletedProcess, dict[str, dict]]:
        file = tmp_path / "rows.json"
        command = ["benchmarks/peers.py", "--network", NETWORK, "--methods", *methods, "--search-epochs", "1"]
        command += ["--data", "folder", "--data-dir", str(images), "--flops-targets", str(target), "--seeds", "3"]
        command += ["--teacher-epochs", "2", "--epochs", "1"]
        command += ["--output", str(tmp_path / "compared"), "--json", str(file)]
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment(), capture_output=True, text=True)
        rows = json.loads(file.read_text())["rows"] if file.is_file() else []
        assert [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"network"')] == rows
        return done, {row["method"]: row for row in rows}

    return call


def architecture(home: Path, method: str) -> dict:
    (file,) = home.glob(f"compared/*/structures/{method}/0.5/seed3/architecture.json")
    return json.loads(file.read_text())


@pytest.mark.slow
def test_every_way_of_torch_pruning_and_of_the_search_has_a_row(peers: Callable, tmp_path: Path) -> None:
    ways = ["tp-l1", "tp-taylor", "tp-group-norm", "tp-isomorphic", "tp-l1-limited", "tp-group-norm-limited"]
    methods = ["uniform", *ways, "tas-asked", "tas-sandwich"]
    done, rows = peers(*methods)
    assert done.returncode == 0, done.stderr
    assert list(rows) == [*methods, "unpruned"]
    for row in rows.values():
        assert row.keys() == KEYS
        assert (row["network"], row["seed"]) == (NETWORK, 3)
        assert 0 <= row["test_accuracy"] <= 1
        assert 0 <= row["search_seconds"] <= row["whole_seconds"]
        assert row["off_target"] == pytest.approx(row["flops_ratio"] / row["target"] - 1, abs=3e-4)
    for method in ways:
        assert 0.45 < rows[method]["flops_ratio"] < 0.55
        assert min(architecture(tmp_path, method)["widths"].values()) < 32
    missed = [line for line in done.stdout.splitlines() if "missed the target" in line]
    assert [line.split()[0] for line in missed] == [name for name in rows if abs(rows[name]["off_target"]) > 0.02]


@pytest.mark.slow
def test_a_limit_keeps_channels_that_torch_pruning_would_take(peers: Callable) -> None:
    done, rows = peers("tp-l1", "tp-l1-limited", target=0.1)
    assert done.returncode == 0, done.stderr
    assert rows["tp-l1"]["flops_ratio"] < 0.15 < rows["tp-l1-limited"]["flops_ratio"]


@pytest.mark.slow
def test_what_fastnas_leaves_has_a_row_and_no_more_flops_than_allowed(peers: Callable, tmp_path: Path) -> None:
    pytest.importorskip("torchprofile")
    pytest.importorskip("modelopt")
    done, rows = peers("fastnas")
    assert done.returncode == 0, done.stderr
    assert rows["fastnas"]["flops_ratio"] <= 0.51
    assert min(architecture(tmp_path, "fastnas")["widths"].values()) < 32


@pytest.mark.slow
def test_a_command_that_is_refused_is_refused_in_one_line_and_has_no_rows(peers: Callable) -> None:
    done, rows = peers("uniform", "tp-l2")
    assert done.returncode == 2 and rows == {}
    assert done.stderr.startswith("tas compare: error: --methods") and done.stderr.count("\n") == 1
