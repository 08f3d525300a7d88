"""The directory of a run: what it leaves there, and how it is found again."""

import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning_fabric.utilities.rank_zero import rank_zero_only
from torch import nn

from tas.architecture import Architecture
from tas.config.files import read_yaml
from tas.config.groups import Keeping
from tas.config.options import Options
from tas.errors import FinishedBeforeError, TasError
from tas.runs.console import say
from tas.runs.files import write_text, written_whole
from tas.runs.provenance import made_here
from tas.runs.restarts import restarted
from tas.runs.weights_file import save_state

ROOT = Path("runs")
"""Where runs go unless told otherwise, below the working directory."""


class Run:
    """The directory of one run: config.yaml from its start; checkpoints/, event files and CSV while it goes on.

    When it is finished there are images.json, architecture.json, model.safetensors, README.md, of a search space.txt,
    and last of all metrics.json (`tas.runs.results`).

    Args:
        path: The directory; it need not exist.
        go_on: Whether what is unfinished in the directory is gone on with; an empty one is begun all the same. If not,
            it must be free.
    """

    def __init__(self, path: str | os.PathLike[str], go_on: bool = False) -> None:
        self.path = Path(path)
        self.go_on = go_on
        self.begun = False
        """Whether `start` has begun it, and not gone on with it."""
        self.config = self.path / "config.yaml"
        self.curves = self.path / "curves.csv"
        self.distributions = self.path / "distributions.csv"
        self.checkpoint = self.path / "checkpoints" / "last.ckpt"
        self.architecture = self.path / "architecture.json"
        self.weights = self.path / "model.safetensors"
        self.card = self.path / "README.md"
        self.space = self.path / "space.txt"
        self.probes = self.path / "probes.json"
        self.images = self.path / "images.json"
        self.metrics = self.path / "metrics.json"

    @classmethod
    def of(cls, keeping: Keeping, kind: str, label: str, options: Options | None = None) -> "Run":
        """The run that the options ask for: the one to resume, --output, or runs/KIND/LABEL-TIME.

        Args:
            keeping: Those that say it.
            kind: The command.
            label: What the name of a run's directory begins with.
            options: All of them. Where a scheduler has started this very command before, its unfinished run goes on.

        Raises:
            FinishedBeforeError: It started it before, and the run that --output names is finished.
        """
        begun = keeping.resume
        if begun is None and options is not None and restarted(keeping.output is not None):
            begun = begun_before(options, keeping.output, kind)
        if begun is not None:
            say(f"resume: going on with {begun}")
            return cls(begun, go_on=True)
        if keeping.output:
            return cls(keeping.output)
        stem = ROOT / kind / f"{label}-{time.strftime('%Y%m%d-%H%M%S')}"
        number, path = 2, stem
        while path.exists():
            number, path = number + 1, Path(f"{stem}-{number}")
        return cls(path)

    def finished(self) -> bool:
        """Whether the run reached its end."""
        return self.metrics.is_file()

    def kept_weights(self) -> Path | None:
        """The file with the weights; earlier runs left it by another name. None where there is none."""
        files = (self.weights, self.path / "weights.pt")
        return next((file for file in files if file.is_file()), None)

    def broken_off(self, options: Options) -> bool:
        """Whether a run with these options was begun here, and left neither a checkpoint nor a result."""
        if self.finished() or self.checkpoint.parent.exists() or not self.config.is_file():
            return False
        return read_yaml(str(self.config), self.config) == written(options)

    @rank_zero_only  # with several processes they all come here
    def check_free(self) -> None:
        """TasError if the directory is another run's."""
        if not self.go_on and self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
            raise TasError(f"--output {self.path}: exists already; give another directory, or go on with --resume")

    @rank_zero_only
    def start(self, options: Options) -> None:
        """Make the directory and write the complete options. TasError if it is another run's, or cannot be written."""
        self.check_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.go_on and self.config.is_file()):
                text = yaml.safe_dump(written(options), sort_keys=False)
                write_text(self.config, f"# {made_here()}\n{text}")
                self.go_on = self.begun = True
        except OSError as error:
            raise TasError(f"--output {self.path}: cannot be written ({error.strerror})") from None

    @rank_zero_only
    def give_up(self) -> None:
        """After a failure: take away what a run that was begun has left, unless a complete epoch is among it, with
        which it can go on. What others have put into its directory stays."""
        if not self.begun or self.checkpoint.exists():
            return
        numbers = (self.curves, self.distributions, *self.path.glob("events.out.tfevents.*"))
        for file in (self.config, self.path / "hparams.yaml", *numbers):
            file.unlink(missing_ok=True)
        for directory in (self.checkpoint.parent, self.path):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()

    @rank_zero_only
    def keep(self, architecture: Architecture, network: nn.Module, images: Mapping[str, Any]) -> None:
        """Write what was found or trained; the result, which makes the run a finished one, comes after it.

        Args:
            architecture: What was found or trained.
            network: The network of that architecture, for its weights: trained, or as training may start from it.
            images: What its images must be like, and the names of its classes, in the order of the logits.
        """
        write_text(self.images, json.dumps(images, ensure_ascii=False) + "\n")
        with written_whole(self.architecture) as draft:
            architecture.save(draft)
        save_state(self.weights, network.cpu().state_dict())


def begun_before(options: Options, output: str | None, kind: str) -> str | None:
    """The unfinished run with these options, --output or the newest in runs/KIND; None without any.

    Raises:
        FinishedBeforeError: That of --output is finished.
    """
    if output is not None:
        if not has_options(Run(output), options):
            return None
        if Run(output).finished():
            raise FinishedBeforeError(f"--output {output}: finished before this command was started again")
        return output
    times = {run: run.config.stat().st_mtime for run in map(Run, (ROOT / kind).glob("*")) if run.config.is_file()}
    for run in sorted(times, key=lambda run: times[run], reverse=True):
        if not run.finished() and has_options(run, options):
            return str(run.path)
    return None


def has_options(run: Run, options: Options) -> bool:
    """Whether a run was begun with these options; one that cannot be read was not."""
    try:
        return run.config.is_file() and read_yaml(str(run.config), run.config) == written(options)
    except TasError:
        return False


def written(options: Options) -> dict[str, Any]:
    """Options as config.yaml has them: without `resume`, so that --config takes the file for a new run."""
    return plain(options.flat()) | {"resume": None}


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as YAML has them: lists in the place of tuples."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def label(network: str, data: str) -> str:
    """What the directories of runs with this network and data set begin with."""
    return f"{re.sub('[^A-Za-z0-9._]+', '-', network)}-{data}"


def newest_search() -> Run:
    """The search below runs/search that finished last. TasError if there is none."""
    finished = [run for run in map(Run, (ROOT / "search").glob("*")) if run.finished()]
    if not finished:
        raise TasError(
            f"--architecture: no finished search in {ROOT / 'search'}; run a search first, or name an architecture.json"
        )
    return max(finished, key=lambda run: run.metrics.stat().st_mtime)


def home_of(architecture: str) -> Run:
    """The run that an architecture stands in; --architecture names the run or the file."""
    path = Path(architecture)
    return Run(path if path.is_dir() else path.parent)
