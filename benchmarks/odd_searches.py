"""Searches of any network, data and options, drawn at random, for benchmarks/faults.py: each has to end with a result
that can be loaded, or to refuse in one line."""

import contextlib
import io
import json
import random
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import tas
from tas.cli import main as run_command

NETWORKS = (
    "resnet20",
    "resnet32",
    "mobilenetv2",
    "torchvision/resnet18",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/squeezenet1_1",
    "torchvision/mnasnet0_5",
    "torchvision/regnet_y_400mf",
    "one_block:make",
)
"""`one_block` is written beside the runs."""

ONE_BLOCK = """
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x).relu()


def make(num_classes, in_channels):
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)]
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.Sequential(Block()), *head)
"""


def images(directory: Path, classes: int, each: int, size: tuple[int, int], mode: str) -> str:
    """A folder of random images, made once; returns its path."""
    home = directory / f"images-{classes}-{each}-{size[0]}x{size[1]}-{mode}"
    if home.exists():
        return str(home)
    noise = np.random.default_rng(0)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    for part in ("train", "test"):
        for label in range(classes):
            place = home / part / f"class {label:04}"
            place.mkdir(parents=True)
            for index in range(each if part == "train" else 1):
                Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8)).save(place / f"{index}.png")
    return str(home)


def drawn_options(chance: random.Random, directory: Path) -> list[str]:
    """The options of a search, of which some do not go together."""
    options = ["--network", chance.choice(NETWORKS), "--epochs", chance.choice(("1", "1", "2")), "--seed", "0"]
    options += ["--batch-size", chance.choice(("1", "2", "7", "32"))]
    if chance.random() < 0.4:
        options += ["--data", "digits", "--train-images", str(chance.choice((10, 30, 61, 100)))]
    else:
        classes, each = chance.choice(((1, 8), (2, 5), (3, 21), (10, 6), (1000, 2)))
        size = chance.choice(((8, 8), (9, 30), (33, 33), (64, 48)))
        folder = images(directory, classes, each, size, chance.choice(("L", "RGB")))
        options += ["--data", "folder", "--data-dir", folder, "--image-size", str(chance.choice((8, 9, 32, 48)))]
        options += ["--train-images", str(min(120, classes * each))]
    if chance.random() < 0.5:
        options += ["--strategy", "gumbel-mixture", "--align", chance.choice(("pad", "interpolate"))]
        options += ["--depth-training", chance.choice(("drawn", "mixed")), "--samples", chance.choice(("1", "2", "5"))]
        options += ["--warmup", chance.choice(("0", "0.5", "1"))]
    else:
        options += ["--probes", chance.choice(("2", "20", "60")), "--draws", chance.choice(("1", "10"))]
        options += ["--held-out", chance.choice(("0.1", "0.2", "0.5"))]
    for flag, values in {
        "--flops-target": ("0.05", "0.3", "0.5", "0.9", "1.0", "500k", "10G"),
        "--params-target": ("0.1", "0.5", "100k"),
        "--memory-target": ("0.5", "20kB"),
        "--tolerance": ("0.001", "0.05", "0.5"),
        "--round-to": ("1", "4", "8", "1000"),
        "--search": ("width", "depth", "both"),
        "--residuals": ("tied", "free"),
        "--ratios": ("1.0", "0.5,1.0", "0.01,0.3,0.31,1.0"),
        "--exclude": ("*", "[stem*]", "conv1"),
        "--compute": ("masked", "sliced", "captured"),
        "--precision": ("bf16-mixed", "32-true"),
        "--lr": ("1e-8", "0.1", "1e6"),
    }.items():
        if chance.random() < 0.25:
            options += [flag, chance.choice(values)]
    return options


def odd_searches(count: int, chance: random.Random, directory: Path) -> dict[str, Any]:
    """A row of so many searches."""
    (directory / "one_block.py").write_text(ONE_BLOCK, encoding="utf-8")
    ended, failed = {"found": 0, "missed": 0, "refused": 0}, list[str]()
    for number in range(count):
        options, run = drawn_options(chance, directory), directory / f"run-{number}"
        out, said = io.StringIO(), io.StringIO()
        try:
            with contextlib.chdir(directory), contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
                status = run_command(["search", *options, "--output", run.name])
            wrong = wrong_with(run, status, said.getvalue())
        except Exception:  # the failure that is looked for
            status, wrong = -1, traceback.format_exc()[-400:]
        if wrong:
            failed.append(f"tas search {' '.join(options)}: {wrong}")
            print(failed[-1], flush=True)
        else:
            ended[{0: "found", 3: "missed"}.get(status, "refused")] += 1
    return {"part": "odd searches", "tried": count, **ended, "failed": failed}


def wrong_with(run: Path, status: int, said: str) -> str | None:
    """What is wrong with the end of a search; None where it is right."""
    if status == 2:
        last = said.strip().splitlines()[-1]
        return None if last.startswith("tas search: error: ") and "Traceback" not in said else f"refused by: {said}"
    if status not in (0, 3):
        return f"status {status}: {said[-300:]}"
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    network = tas.load(run)
    shape = json.loads((run / "architecture.json").read_text(encoding="utf-8"))
    logits = network(torch.zeros(2, shape["in_channels"], shape["image_size"], shape["image_size"]))
    if logits.shape != (2, shape["num_classes"]):
        return f"logits of {tuple(logits.shape)}"
    counted = tas.flops(network, (shape["in_channels"], shape["image_size"], shape["image_size"]))
    if counted != metrics["flops"] or (metrics["target_met"] is not (status == 0)):
        return f"{counted} FLOPs, metrics {metrics['flops']}, target met {metrics['target_met']} with status {status}"
    return None
