"""What a first GPU should tell, the most important first: each part has its own time, and leaves its rows as it goes.

    python benchmarks/on_gpu.py --output DIR --data-dir IMAGES --table FILE
    python benchmarks/on_gpu.py --output DIR --device cpu --quick

DIR/rows.jsonl gets a row for every JSON line that a part prints, and one for the part itself: what it ran, how long,
and how it ended. A part that takes longer than it may is stopped, what it had printed is kept, and the next one begins;
when --minutes are over nothing begins any more. The parts:

    alike     a step sliced, masked and compiled: how far the gradients differ; and what captured iterations learn
    choices   a search of two epochs on the digits on the CPU and on the device: whether they find one network
    steps     search iteration / plain step, and peak memory, by strategy, way and precision
    search    ten epochs of a search of ResNet-32 on CIFAR images by the paper's recipe: its time, from which that of
              600 follows, and how busy the device is
    table     the public table's MobileNet (channel_bench.py), as many iterations as fit

IMAGES is a folder with train/CLASS and test/CLASS (benchmarks/cifar_images.py makes it), FILE the table; without them
the last two parts are left out. --quick makes every part as short as it can be, to see that all of it works.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import IO, Any

import torch

from tas.runs.provenance import code_version, processor_name

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """One command, and how long it may take."""

    name: str
    seconds: float
    command: Sequence[str]


def parts(options: argparse.Namespace) -> Iterator[Part]:
    """What is run, in this order."""
    quick, device = options.quick, options.device
    accelerator = "gpu" if device == "cuda" else device
    networks = ["resnet20"] if quick else ["resnet20", "mobilenetv2"]
    small = ["--image-size", "8", "--no-compile"] if quick else []
    yield Part("alike", 120, script("alike.py", "--network", *networks, "--device", device, *small))
    for place in dict.fromkeys(("cpu", device)):
        on = "cpu" if place == "cpu" else accelerator
        where = ["--accelerator", on, "--output", str(options.output / place)]
        short = ["--epochs", "1", "--probes", "20", "--draws", "2"] if quick else ["--epochs", "2"]
        yield Part("choices", 60, tas("search", *short, *where))
    yield from steps(options)
    if options.data_dir is None:
        return
    images, output = str(options.data_dir), options.output
    config = str(HERE.parent / "configs/search/cifar10-resnet32.yaml")
    given = ["--config", config, "--output", f"{output}/search"]
    given += ["--data", "folder", "--data-dir", images, "--accelerator", accelerator]
    few = ["--epochs", "1", "--image-size", "8", "--train-images", "640"] if quick else ["--epochs", "10"]
    yield Part("search", 120, tas("search", *given, *few))
    if options.table is not None:
        table = ["--table", str(options.table), "--data-dir", images, "--output", f"{output}/table"]
        few = ["--iterations", "20" if quick else "2000", "--accelerator", accelerator]
        yield Part("table", 120, script("channel_bench.py", *table, *few))


def steps(options: argparse.Namespace) -> Iterator[Part]:
    """Interleaved times of search and plain steps, those of all networks in one process."""
    quick = ["--pairs", "1", "--warmup", "1", "--batch-size", "8", "--image-size", "8", "--network", "resnet20"]
    small = ["--pairs", "8", "--warmup", "4", "--batch-size", "256", "--network", "resnet20", "resnet56", "mobilenetv2"]
    where = ["--device", options.device, "--json", "--no-literal", *(quick if options.quick else small)]
    ways = ("captured", "masked", "sliced") if options.device == "cuda" else ("masked", "sliced")
    for precision in ("float32",) if options.quick else ("float32", "bf16", "tf32"):
        for strategy in ("sandwich", "gumbel-mixture"):
            for compute in ways:
                how = ["--strategy", strategy, "--compute", compute, "--precision", precision]
                yield Part("steps", 40, script("search_step.py", *where, *how))
    paper = ["--align", "interpolate", "--depth-training", "mixed", "--compute", ways[0]]
    yield Part("steps", 40, script("search_step.py", *where, "--strategy", "gumbel-mixture", *paper))


def script(name: str, *arguments: str) -> list[str]:
    """A benchmark's command."""
    return [sys.executable, str(HERE / name), *arguments]


def tas(*arguments: str) -> list[str]:
    """A command of TAS."""
    return [sys.executable, "-m", "tas", *arguments]


def run(part: Part, seconds: float, rows: IO[str]) -> bool:
    """Run a part for so long at most, and write what it says; whether it came to its end."""
    began, busy, said, ended = time.monotonic(), [], "", None
    with subprocess.Popen(
        part.command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        while ended is None:
            try:
                said, _ = child.communicate(timeout=1)
                ended = f"status {child.returncode}"
            except subprocess.TimeoutExpired:
                busy += utilisation()
                if time.monotonic() - began > seconds:
                    child.kill()
                    said, _ = child.communicate()
                    ended = "stopped: its time was over"
    lines = said.replace("\r", "\n").strip().splitlines()
    for found in filter(None, map(object_in, lines)):
        write(rows, {"part": part.name} | found)
    taken = {"seconds": round(time.monotonic() - began, 1), "gpu_busy_percent": round(mean(busy)) if busy else None}
    write(rows, {"part": part.name, "ended": ended, **taken, "command": part.command[1:], "last": lines[-1:]})
    return ended == "status 0"


def object_in(line: str) -> dict[str, Any] | None:
    """The object that a line is; None if it is none."""
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def utilisation() -> list[float]:
    """How busy the GPU is at the moment, in per cent; nothing where that cannot be asked."""
    if not torch.cuda.is_available():
        return []
    ask = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        return [float(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()[0])]
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return []


def write(rows: IO[str], row: dict[str, Any]) -> None:
    """A row, into the file at once and onto the screen."""
    print(json.dumps(row), file=rows, flush=True)
    print(json.dumps(row), flush=True)


def choices(output: Path, device: str) -> dict[str, Any] | None:
    """Whether the searches on the CPU and on the device found one network; None where one of them found none."""
    files = [output / place / "architecture.json" for place in ("cpu", device)]
    if not all(file.is_file() for file in files):
        return None
    one, other = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    differ = [key for kind in ("widths", "depths") for key in one[kind] if one[kind][key] != other[kind][key]]
    return {"part": "choices", "differ": differ}


def main() -> int:
    """Run the parts; 1 if one of them failed or was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="directory of the rows and of the searches")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--data-dir", type=Path, help="a folder with train/CLASS and test/CLASS of CIFAR-10")
    parser.add_argument("--table", type=Path, help="the public table, for channel_bench.py")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which no part begins, and none goes on")
    parser.add_argument("--quick", action="store_true", help="every part as short as it can be")
    options = parser.parse_args()
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    end, failed = time.monotonic() + 60 * options.minutes, False
    named = torch.cuda.get_device_name() if options.device == "cuda" else processor_name()
    with (options.output / "rows.jsonl").open("a", encoding="utf-8") as rows:
        write(rows, {"device": named, "torch": torch.__version__, "commit": code_version(), "quick": options.quick})
        for part in parts(options):
            if (left := end - time.monotonic()) > 0:
                failed |= not run(part, min(part.seconds, left), rows)
        if (found := choices(options.output, options.device)) is not None:
            write(rows, found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
