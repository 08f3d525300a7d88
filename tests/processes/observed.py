"""A command as one of several processes, on few digits: python observed.py PLACE COMMAND ...

Leaves in PLACE what the process of each rank found. Where PLACE has a file `dies-RANK-STEP`, that process dies in that
step, the first time that it is started. With --sync-batchnorm images are not augmented: one process and two do not do
that alike.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

import tas.commands.search
from tas.cli import main
from tas.data.digits import Digits
from tas.data.images import Images
from tas.runs.processes import processes
from tas.search.module import SearchModule

IMAGES = 480


def observe(place: Path) -> None:
    """Have each process write what it found."""
    result = tas.commands.search.search_result

    def seen(task: Any, found: Any, val_accuracy: float, *rest: Any) -> Any:
        what = {"costs": dict(found.costs), "val_accuracy": val_accuracy, "processes": processes()}
        what |= {"widths": dict(found.architecture.widths), "depths": dict(found.architecture.depths)}
        what |= {"sums": {name: float(own.double().sum()) for name, own in found.network.state_dict().items()}}
        (place / f"rank-{os.environ.get('RANK', 0)}.json").write_text(json.dumps(what))
        return result(task, found, val_accuracy, *rest)

    tas.commands.search.search_result = seen  # type: ignore[assignment]


def die(place: Path) -> None:
    """End this process in the middle of a step, if that is wanted of it."""
    if os.environ.get("TORCHELASTIC_RESTART_COUNT") != "0":
        return
    rank = os.environ["RANK"]
    step, last = SearchModule.training_step, [int(file.name.split("-")[-1]) for file in place.glob(f"dies-{rank}-*")]

    def training_step(self: Any, batch: Any, index: int) -> None:
        if self.current_epoch * int(self.trainer.num_training_batches) + index in last:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, batch, index)

    SearchModule.training_step = training_step  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    where = Path(sys.argv[1])
    load = Digits.load

    def few(self: Digits, train: bool) -> Images:
        """Some of them."""
        images, count = load(self, train), IMAGES if train else 100
        return Images(images.pixels[:count], images.labels[:count])

    Digits.load = few  # type: ignore[method-assign]
    if "--sync-batchnorm" in sys.argv:  # is compared with another number of processes
        Digits.augmentation = Digits.normalisation  # type: ignore[method-assign]
    torch.set_num_threads(1)
    observe(where)
    die(where)
    sys.exit(main(sys.argv[2:]))
