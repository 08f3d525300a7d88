"""What a training and a search on ImageNet ask of a machine, as far as that can be counted and measured without one.

    OMP_NUM_THREADS=1 python benchmarks/imagenet_on_paper.py --network torchvision/resnet18 torchvision/resnet50

A row a network: multiply-adds of an image, operations of a training step for it (two for each multiply-add, forward,
to weights and to activations), and the bytes that are kept for its backward pass, in single precision. Then how many
images a core reads, cuts and jitters in a second of its own, as `--data imagenet` does, of JPEG files made here.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from memory import saved_bytes
from PIL import Image

import tas
from tas.data.imagenet import ImageNet
from tas.runs.provenance import code_version, processor_name

SIZE = 224
FILES = 64
WIDE, HIGH = 500, 375
"""ImageNet's commonest size."""


def asked_of(name: str, batch: int = 4) -> dict[str, object]:
    """A row of a network."""
    network = tas.open_network(name, num_classes=1000)
    images, labels = torch.randn(batch, 3, SIZE, SIZE), torch.arange(batch)
    multiply_adds = tas.flops(network, (3, SIZE, SIZE))
    parameters = list(network.parameters())
    kept = saved_bytes(lambda: F.cross_entropy(network(images), labels).backward(), parameters)
    return {
        "network": name,
        "multiply_adds": multiply_adds,
        "operations_of_a_step": 3 * 2 * multiply_adds,
        "kept_bytes_of_an_image": kept // batch,
        "parameters": sum(parameter.numel() for parameter in parameters),
    }


def images_read(seconds: float = 20.0) -> dict[str, object]:
    """How many images are made ready in a second, by one process; the median of passes over some files."""
    noise, taken = np.random.default_rng(0), []
    with tempfile.TemporaryDirectory() as place:
        for part, label in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")):
            home = Path(place, part, label)
            home.mkdir(parents=True)
            for index in range(FILES // 2 if part == "train" else 1):
                # Noise at half of the size, enlarged: its file is as large as a photograph's.
                small = noise.integers(0, 256, (HIGH // 2, WIDE // 2, 3), dtype=np.uint8)
                Image.fromarray(small).resize((WIDE, HIGH), Image.Resampling.BICUBIC).save(home / f"{index}.jpg")
        size = np.mean([file.stat().st_size for file in Path(place, "train").rglob("*.jpg")])
        data = ImageNet(place, SIZE, batch_size=32)
        data.prepare_data()
        data.setup()
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            start = time.process_time()
            for _ in data.train_dataloader():
                pass
            taken.append(time.process_time() - start)
    return {"images_a_second_and_core": round(FILES / float(np.median(taken))), "file_bytes": int(size)}


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=["torchvision/resnet18", "torchvision/resnet50"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    where = {"machine": processor_name(), "torch": torch.__version__, "commit": code_version()}
    for row in [*map(asked_of, options.network), images_read()]:
        print(json.dumps(row | where), flush=True)


if __name__ == "__main__":
    main()
