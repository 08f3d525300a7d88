import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tas.config.groups import Source
from tas.reading.original import open_original
from tas.training.threads import choose_threads
from tests.conftest import environment


@pytest.fixture
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of four cores, on which the environment says nothing."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("tas.training.threads.ALL", 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="the CPU's threads are for what has no accelerator")
def test_small_maps_take_one_thread_and_larger_ones_all(four_threads: None) -> None:
    for size, batch, threads in ((8, 64, 1), (32, 64, 4), (8, 1024, 4), (8, 64, 1)):
        original = open_original(Source(network="resnet20"), 10, (1, size, size))
        choose_threads(original.plan, original.full, batch)
        assert torch.get_num_threads() == threads


def test_what_the_environment_says_stays(four_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    original = open_original(Source(network="resnet20"), 10, (1, 8, 8))
    choose_threads(original.plan, original.full, 64)
    assert torch.get_num_threads() == 4


TOLD = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, "20000 None 16384"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None 16384"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None ACTIVE 16384"),
        ({"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "9"}, "20000 None 9"),
    ],
)
def test_waiting_threads_sleep_soon_and_layers_are_kept_unless_the_environment_says_otherwise(
    given: dict[str, str], left: str, tmp_path: Path
) -> None:
    environ = {key: value for key, value in environment().items() if key not in TOLD}
    code = (
        "import os, sys; from tas.cli import main; main(['search', '--epochs', '0']); print('torch' in sys.modules, "
        f"*(os.environ.get(key) for key in {TOLD}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ | given, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[-2] == f"False {left}"
