"""Searches of any network, data and options, drawn at random, for benchmarks/faults.py: each has to end with a result
that can be loaded, or to refuse in one line."""

import json
import random
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from in_process import run_here
from PIL import Image

import tas

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
    """The options of a search. One in three has something that may not go together with the rest."""
    mistaken, network = chance.random() < 1 / 3, chance.choice(NETWORKS)

    def drawn(*right: str, wrong: Sequence[str] = ()) -> str:
        return chance.choice((*right, *wrong) if mistaken else right)

    options = ["--network", network, "--epochs", drawn("1", "1", "2"), "--seed", "0"]
    data = shown_images(chance, directory, grey=mistaken or "torchvision" not in network, alone=mistaken)
    many = int(data[-1]) > 1000  # in batches of 2 these would take minutes
    options += [*data, "--batch-size", "32" if many else drawn("2", "7", "32", wrong=["1"])]
    strategy, ratios = chance.random() < 0.5, drawn("1.0", "0.5,1.0", "0.01,0.3,0.31,1.0", "0.2,0.4,0.6,0.8,1")
    if strategy:
        options += ["--strategy", "gumbel-mixture", "--align", drawn("pad", "interpolate")]
        options += ["--depth-training", drawn("drawn", "mixed"), "--warmup", drawn("0", "0.5", wrong=["1"])]
        options += ["--samples", drawn("1", str(ratios.count(",") + 1), wrong=["5"])]
    else:
        options += ["--probes", drawn("20", "60", wrong=["2"]), "--draws", drawn("1", "10")]
        options += ["--held-out", drawn("0.2", "0.5", wrong=["0.01"])]
    options += ["--flops-target", drawn("0.5", "0.7", "0.9", wrong=["0.05", "1.0", "500k", "10G"])]
    options += ["--tolerance", drawn("0.2", "0.5", wrong=["0.001", "0.05"])]
    for flag, values, wrong in (
        ("--params-target", ("0.6", "0.8"), ("0.1", "100k")),
        ("--memory-target", ("0.8", "0.9"), ("0.3", "20kB")),
        ("--round-to", ("1", "2", "4"), ("8", "1000")),
        ("--search", ("width", "depth", "both"), ()),
        ("--residuals", ("tied", "free"), ()),
        ("--ratios", (ratios,), ()),
        ("--exclude", ("*conv1",), ("*", "[stem*]")),
        ("--compute", ("masked", "sliced"), ("captured",)),
        ("--precision", ("bf16-mixed", "32-true"), ("16-true",)),
        ("--lr", ("1e-8", "0.1"), ("1e6",)),
    ):
        if chance.random() < 0.15:
            options += [flag, drawn(*values, wrong=wrong)]
    return options


def shown_images(chance: random.Random, directory: Path, grey: bool, alone: bool) -> list[str]:
    """The options of a data set.

    Args:
        chance: What it is drawn by.
        directory: Where folders of images are made.
        grey: Whether images may have one channel.
        alone: Whether classes may be alone, or have an image alone.
    """
    if grey and chance.random() < 0.3:
        return ["--data", "digits", "--train-images", str(chance.choice((30, 61, 100)))]
    classes, each = chance.choice(((2, 8), (2, 21), (3, 21), (10, 6), (1000, 3), *([(1, 8), (2, 1)] if alone else [])))
    size = chance.choice(((8, 8), (9, 30), (33, 33), (64, 48)))
    folder = images(directory, classes, each, size, chance.choice(("L", "RGB") if grey else ("RGB",)))
    most = max(120, 2 * classes)  # two of a class, so that one of them is held out
    own = ["--data", "folder", "--data-dir", folder, "--image-size", str(chance.choice((8, 9, 32, 48)))]
    return [*own, "--train-images", str(min(most, classes * each))]


def odd_searches(count: int, chance: random.Random, directory: Path) -> dict[str, Any]:
    """A row of so many searches."""
    (directory / "one_block.py").write_text(ONE_BLOCK, encoding="utf-8")
    ended, failed = {"found": 0, "missed": 0, "refused": 0}, list[str]()
    for number in range(count):
        options, run = drawn_options(chance, directory), directory / f"run-{number}"
        status, _, said = run_here(["search", *options, "--output", run.name], directory)
        try:
            wrong = wrong_with(run, status, said)
        except Exception:  # what the search has left cannot be loaded or run: a failure that is looked for
            wrong = traceback.format_exc()[-400:]
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
