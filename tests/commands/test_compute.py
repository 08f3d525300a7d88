"""Searches at full width, by the command."""

from collections.abc import Callable
from pathlib import Path

import pytest

QUICK = ["--epochs", "1", "--batch-size", "32"]

NORMED = """
from torch import nn


def normed(num_classes, in_channels):
    layers = nn.Conv2d(in_channels, 8, 3), nn.GroupNorm(1, 8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
"""
"""A norm over channels, which zeros among them change."""


@pytest.mark.parametrize("flags", [("--compute", "masked"), ("--compile",)])
def test_what_cannot_be_masked_is_refused_before_anything_is_made(
    cli: Callable, few_digits: None, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    (tmp_path / "grouped.py").write_text(NORMED)
    status, _, err = cli("search", *QUICK, "--network", "grouped:normed", *flags, "--output", "run")
    assert status == 2
    assert err.splitlines()[-1].startswith(
        f"tas search: error: {flags[0]}: grouped:normed cannot be computed masked: of the smallest network its logits"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("compute", ["sliced", "masked"])
def test_the_paper_s_settings_run_at_full_width_too(cli: Callable, few_digits: None, compute: str) -> None:
    status, out, err = cli("search", *QUICK, "--recipe", "paper", "--compute", compute, "--output", "run")
    assert status == 0, err
    assert "search finished" in out


def test_where_there_is_no_gpu_nothing_is_captured(cli: Callable, few_digits: None) -> None:
    status, _, err = cli("search", *QUICK, "--compute", "captured", "--accelerator", "cpu", "--output", "run")
    assert status == 2
    assert err.splitlines()[-1].startswith("tas search: error: --compute captured: CUDA graphs need an NVIDIA GPU")
    assert not Path("run").exists()
