"""CIFAR-10 as a folder of PNG files, as the studies in configs/studies read it.

python benchmarks/cifar_images.py --data-dir data --output data/cifar10-images

Takes torchvision's CIFAR-10, downloaded into --data-dir when absent, and writes train/CLASS/ and test/CLASS/ without
loss. Names keep CIFAR's order, so that the first 5,000 images are the same everywhere.
"""

import argparse
import sys
from pathlib import Path

from torchvision.datasets import CIFAR10


def write_images(data_dir: Path, output: Path) -> int:
    """Write all images; returns how many."""
    count = 0
    for part in ("train", "test"):
        images = CIFAR10(data_dir, train=part == "train", download=True)
        for number, (image, label) in enumerate(images):
            folder = output / part / images.classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number:05}.png")
            count += 1
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="where torchvision's CIFAR-10 is, or goes")
    parser.add_argument("--output", type=Path, default=Path("data/cifar10-images"), help="must not exist")
    given = parser.parse_args()
    if given.output.exists():
        sys.exit(f"--output {given.output}: exists already; give another directory")
    try:
        print(f"{write_images(given.data_dir, given.output)} images in {given.output}")
    except (OSError, RuntimeError) as error:
        sys.exit(f"--data-dir {given.data_dir}: holds no CIFAR-10, and the download failed ({error})")
