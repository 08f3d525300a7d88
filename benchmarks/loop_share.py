"""Where the time of a search goes beside its steps: images, Lightning and logging, pictures, and the end.

    python benchmarks/loop_share.py --output DIR [--json ROWS] -- --flops-target 0.5 [OPTION OF tas search...]

Runs a whole search and looks at the clock around its parts. An iteration is a batch of images, the strategy's steps,
and what is done around them: hooks, the progress bar, curves, what TensorBoard is given.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pytorch_lightning.loops.fetchers import _DataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from search_step import circumstances

from tas.cli import main as tas
from tas.search import computing
from tas.search.monitor import Distributions


class Clock:
    """Seconds that calls took, by the name of their part."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def watch(self, owner: type | ModuleType, method: str, part: str) -> None:
        """Count the calls of a method or function as a part's from now on."""
        original: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.counted(part):
                return original(*args, **kwargs)

        setattr(owner, method, timed)

    @contextmanager
    def counted(self, part: str) -> Iterator[None]:
        """What runs inside."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part].append(time.perf_counter() - begun)


def measure(options: list[str], run: Path) -> dict[str, Any]:
    """A row of one search."""
    clock, looking = Clock(), []
    clock.watch(_TrainingEpochLoop, "advance", "iteration")
    clock.watch(_DataFetcher, "__next__", "images")
    clock.watch(computing, "iterate", "steps")
    original = Distributions.on_fit_start

    def begin(self: Distributions, *args: Any) -> None:
        looking.append(self)
        original(self, *args)

    setattr(Distributions, "on_fit_start", begin)  # noqa: B010  # mypy does not let a method be assigned to
    with clock.counted("run"):
        status = tas(["search", *options, "--output", str(run)])
    if status:
        raise SystemExit(status)
    (whole,) = clock.seconds["run"]
    image_ms = 1e3 * statistics.median(clock.seconds["images"])
    around = [1e3 * (a - b) for a, b in zip(clock.seconds["iteration"], clock.seconds["steps"], strict=True)]
    return {
        "run_seconds": round(whole, 2),
        "iterations": len(around),
        "steps_share": round(sum(clock.seconds["steps"]) / whole, 3),
        "step_ms": round(1e3 * statistics.median(clock.seconds["steps"]), 2),
        "images_ms": round(image_ms, 2),
        "around_ms": round(statistics.median(around) - image_ms, 2),
        # That of the few iterations that are logged too.
        "around_mean_ms": round(statistics.mean(around) - 1e3 * statistics.mean(clock.seconds["images"]), 2),
        "pictures_share": round(looking[0].pictures.spent / whole, 4),
        "event_bytes": sum(file.stat().st_size for file in run.glob("events.*")),
    }


def main() -> None:
    """Measure, and print a row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the search's run folder")
    parser.add_argument("--json", type=Path, help="file that gets the row")
    parser.add_argument("search", nargs="*", help="options of tas search, behind --")
    options = parser.parse_args()
    row = measure(options.search, options.output)
    row |= circumstances(argparse.Namespace(device="cpu", precision="float32", pairs=1)) | {"search": options.search}
    print(json.dumps(row))
    if options.json:
        with options.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
