"""`tas export`: from a finished run to a file that other programs run."""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from tas.architecture import Architecture
from tas.config import ExportOptions, PruneOptions, SearchOptions, TrainOptions
from tas.config.files import read_yaml
from tas.config.parsing import from_values
from tas.data.description import read_description
from tas.data.images import ImageData
from tas.data.loaders import Batch
from tas.data.opening import open_dataset
from tas.errors import TasError
from tas.exports.check import Parity, check_parity
from tas.exports.formats import FORMATS, check_installed, quietly, write_file
from tas.exports.preprocessing import Preprocessed
from tas.runs.console import say
from tas.runs.files import writing
from tas.runs.load import load
from tas.runs.results import read_record
from tas.runs.run import Run
from tas.runs.summary import millions, percent, summary
from tas.timing.interleaved import Spread, interleaved
from tas.timing.onnx_runtime import onnx_session

CALIBRATED_AT_ONCE = 64
"""Images in a batch of those that calibrate."""

SECONDS, TURNS = 2.0, 30
"""In which two files are timed, and by how many turns at most."""

OPTIONS: dict[str, type[SearchOptions | PruneOptions | TrainOptions]] = {
    "search": SearchOptions,
    "prune": PruneOptions,
    "train": TrainOptions,
}
"""Command -> its options."""


def export(options: ExportOptions) -> Path:
    """Write the file, compare it with the network, and print what it is; returns its path."""
    if options.run is None:
        raise TasError("--run is missing; name a finished run: tas export runs/train/RUN --format onnx")
    kind, run = FORMATS[options.format], Run(options.run)
    check_installed(f"--format {options.format}", kind.needs)
    network = load(options.run)
    data, images = data_of(run, options), read_description(run.images)
    to = Path(options.output) if options.output else run.path / f"{default_stem(options)}{kind.suffix}"
    if to.suffix != kind.suffix:
        raise TasError(f"--output {to}: a file of --format {options.format} ends with {kind.suffix}")
    if to.resolve() == run.weights.resolve():
        raise TasError(f"--output {to}: is the run's own; give another name")
    taken: nn.Module = network
    if options.with_preprocessing:
        taken = Preprocessed(network, images["mean"], images["deviation"])
    taken.eval()
    said = {
        "architecture": json.dumps(asdict(Architecture.load(run.architecture))),
        "images": json.dumps(images, ensure_ascii=False),
    }
    batch = first_of(judged(data, options, test=True), options.images)
    with writing(to), tempfile.TemporaryDirectory(dir=made_directory(to)) as place:
        draft = Path(place, to.name)
        write_file(options.format, taken, batch, draft, said)
        parity = check_parity(options.format, draft, taken, batch)
        rows = file_rows(options, run, to, draft, parity)
        if options.quantize:
            rows += quantised(options, draft, to, data)
        move_in(Path(place), to.parent)
    say(summary("exported", rows))
    return to


def default_stem(options: ExportOptions) -> str:
    """The name of the file where none is given; the run's own weights have the plain one."""
    return "weights" if options.format == "safetensors" else "model"


def made_directory(to: Path) -> Path:
    """The directory of the file, which is made. TasError if it cannot be."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TasError(f"--output {to}: cannot be written ({error.strerror})") from None
    return to.parent


def move_in(place: Path, home: Path) -> None:
    """Put finished files where they belong, in the place of earlier ones."""
    for file in place.iterdir():
        shutil.move(file, home / file.name)


def data_of(run: Run, options: ExportOptions) -> ImageData:
    """The data set of a run, normalised as there. TasError where it is not to be had."""
    command = read_record(run).command
    if command not in OPTIONS:
        raise TasError(f"{run.path}: a run of tas {command} has no network of its own")
    if not run.images.is_file():
        raise TasError(f"{run.path}: has no {run.images.name}, which says what its images are like; train it again")
    made = from_values(command, OPTIONS[command], read_yaml(str(run.config), run.config))
    if options.data_dir is not None:
        made = made.changed(data_dir=options.data_dir)
    data = open_dataset(made.dataset, made.recipe, made.machine, made.keeping.seed)
    images = read_description(run.images)
    data.statistics = type(data.statistics)(images["mean"], images["deviation"])
    return data


def judged(data: ImageData, options: ExportOptions, test: bool) -> Iterator[Batch]:
    """Test or training images as the file takes them, and their classes."""
    images = data.load(train=False) if test else data.train_images()
    normalise = data.statistics
    for batch, labels in data.judging_batches(images):
        if options.with_preprocessing:
            batch = bytes_of(batch, normalise.mean, normalise.deviation)
        yield batch.contiguous(), labels


def first_of(batches: Iterable[Batch], count: int) -> Tensor:
    """The first images of batches, so many at most."""
    taken: list[Tensor] = []
    for images, _ in batches:
        taken.append(images)
        if sum(map(len, taken)) >= count:
            break
    return torch.cat(taken)[:count]


def bytes_of(batch: Tensor, mean: Iterable[float], deviation: Iterable[float]) -> Tensor:
    """The bytes of which a batch was made."""
    means, deviations = (torch.tensor(list(values)).view(-1, 1, 1) for values in (mean, deviation))
    return ((batch * deviations + means) * 255).round().clamp(0, 255).to(torch.uint8)


def file_rows(options: ExportOptions, run: Run, to: Path, draft: Path, parity: Parity) -> list[tuple[str, str]]:
    """What is said of the file."""
    size = sum(file.stat().st_size for file in draft.parent.iterdir())
    takes = "bytes, 0 to 255" if options.with_preprocessing else "normalised images"
    return [
        ("run", str(run.path)),
        ("file", f"{to}, {size / 1e6:.2f} MB, of {options.format}; it takes {takes}, any number at once"),
        (
            "loaded again",
            f"in a process of its own, {parity.images} test images: logits differ by {parity.difference:.1g} at most, "
            "all told as the same class",
        ),
        ("FLOPs", f"{millions(parity.multiply_adds)}, counted in the file and in the network"),
    ]


def quantised(options: ExportOptions, draft: Path, to: Path, data: ImageData) -> list[tuple[str, str]]:
    """Write the file of 8 bits beside the other; what is said of it."""
    with quietly():  # its libraries tell of GPUs that are not there
        from tas.exports.quantise import accuracies, quantise

    small = draft.with_name(f"{to.stem}-int8{to.suffix}")
    few = first_of(judged(data, options, test=False), options.calibration_images)
    try:
        quantise(draft, small, torch.split(few, CALIBRATED_AT_ONCE))
    except OSError:
        raise
    except Exception as error:  # the library raises what it likes
        raise TasError(f"--quantize int8: ONNX Runtime cannot do this network ({type(error).__name__})") from None
    threads = torch.get_num_threads()
    sessions = [onnx_session(str(file), threads) for file in (draft, small)]
    whole, eight = accuracies(sessions, judged(data, options, test=True))
    one = {"images": few[:1].numpy()}
    calls = [partial(session.run, None, one) for session in sessions]
    slow, fast = (1e3 * Spread.of(row).median for row in interleaved(calls, threads, SECONDS, TURNS))
    large, little = (file.stat().st_size / 1e6 for file in (draft, small))
    return [
        ("int8", f"{to.with_name(small.name)}, by {len(few)} training images"),
        ("accuracy", f"{percent(whole)} -> {percent(eight)} on all test images"),
        ("size", f"{large:.2f} -> {little:.2f} MB"),
        ("latency", f"{slow:.2f} -> {fast:.2f} ms an image, by ONNX Runtime, timed by turns"),
    ]
