"""The benchmarks run, and print what they promise; how long things take is not tested."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT, environment

KEYS = {
    "network",
    "batch_size",
    "plain_ms",
    "search_ms",
    "literal_ms",
    "ratio",
    "ratio_min",
    "ratio_max",
    "literal_ratio",
    "saved_bytes_ratio",
    "peak_memory_ratio",
    "data_wait_share",
}


def rows(*command: str) -> list[dict]:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_the_search_step_is_timed_beside_a_plain_and_a_literal_one():
    options = ["--network", "resnet20", "--batch-size", "8", "--pairs", "2", "--samples", "2", "8", "--json"]
    two, eight = rows("benchmarks/search_step.py", *options)
    assert two.keys() >= KEYS
    assert (two["samples"], eight["samples"]) == (2, 8)
    for row in (two, eight):
        assert 0 < row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert row["literal_ms"] > 0
        assert 0 < row["data_wait_share"] < 1
    # What is kept for the backward pass does not depend on the machine.
    assert two["saved_bytes_ratio"] < 1.15


@pytest.mark.slow
def test_the_distillation_step_is_timed_beside_a_plain_one():
    (row,) = rows(
        "benchmarks/kd_step.py",
        "--architecture",
        "configs/published/cifar10-resnet20.json",
        "--batch-size",
        "4",
        "--pairs",
        "2",
    )
    assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
    assert row["teacher_dtype"] == "float32"
