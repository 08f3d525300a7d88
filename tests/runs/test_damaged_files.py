"""Files of a run with anything in them: what they should hold, or one line that names the file."""

import copy
import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tas.architecture import Architecture
from tas.config import CompareOptions, SearchOptions
from tas.config.parsing import parse
from tas.cutting.build import build
from tas.data.description import read_description
from tas.data.digits import Digits
from tas.errors import TasError
from tas.inputs.json_text import read_json
from tas.networks import open_network
from tas.networks.weights import load_weights
from tas.runs.load import load
from tas.runs.results import read_record
from tas.runs.run import Run
from tests.results import search_result, train_result
from tests.spaces import unpruned
from tests.strangers import BAD_YAML

FUZZED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FULL = unpruned("resnet20", 10, 1, size=8)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
ODD = st.sampled_from(
    [10**12, -1, 0, True, 1.5, float("nan"), float("inf"), "", "x" * 10_000, None, [], {}, "\ud800\n"]
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with all its files."""
    run = Run(tmp_path_factory.mktemp("runs") / "run")
    run.start(SearchOptions())
    run.keep(FULL, build(FULL), Digits(batch_size=8).described())
    train_result().write(run)
    return run


@pytest.fixture(scope="module", autouse=True)
def within_a_gigabyte(finished: Run) -> Iterator[None]:
    """Nothing that is read takes more than that beyond what there is before."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """A copy of it, to be damaged."""
    shutil.copytree(finished.path, tmp_path / "run")
    return Run(tmp_path / "run")


def refusal(read: Callable[[], object], file: Path) -> str | None:
    """What reading says, in one line that begins with the file; None where it is read after all."""
    try:
        read()
    except TasError as error:
        assert str(error).startswith(str(file)) and "\n" not in str(error) and len(str(error)) < 1000
        return str(error)
    return None


def changed(content: Any, path: list[int], value: object) -> Any:
    """JSON with another value somewhere, which the numbers lead to."""
    content = copy.deepcopy(content)
    at = content
    for place, step in enumerate(path):
        keys = list(at) if isinstance(at, dict) else range(len(at))
        if not keys:
            break
        key = list(keys)[step % len(keys)]
        if place == len(path) - 1 or not isinstance(at[key], dict | list):
            at[key] = value
            break
        at = at[key]
    return content


STEPS = st.lists(st.integers(0, 99), min_size=1, max_size=3)


@pytest.mark.parametrize("name", ["architecture.json", "images.json", "metrics.json"])
@FUZZED
@given(path=STEPS, value=ODD | JSON)
def test_a_changed_value(name: str, path: list[int], value: object, finished: Run, tmp_path: Path) -> None:
    file = tmp_path / name
    content = json.loads((finished.path / name).read_text())
    file.write_text(json.dumps(changed(content, path, value)))
    readers: dict[str, Callable[[], object]] = {
        "architecture.json": lambda: build(Architecture.load(file)),
        "images.json": lambda: read_description(file),
        "metrics.json": lambda: read_record(Run(tmp_path)),
    }
    try:
        readers[name]()
    except TasError as error:
        assert "\n" not in str(error) and len(str(error)) < 1500


@FUZZED
@given(text=st.text() | JSON.map(json.dumps) | st.binary().map(lambda content: content.decode("latin1")))
def test_any_text(text: str, finished: Run, tmp_path: Path) -> None:
    for name in ("architecture.json", "images.json", "metrics.json"):
        (tmp_path / name).write_text(text, encoding="utf-8", errors="replace")
    refusal(lambda: Architecture.load(tmp_path / "architecture.json"), tmp_path / "architecture.json")
    refusal(lambda: read_description(tmp_path / "images.json"), tmp_path / "images.json")
    refusal(lambda: read_record(Run(tmp_path)), tmp_path / "metrics.json")


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def fields(**others: object) -> str:
    return json.dumps(vars(FULL) | {"widths": dict(FULL.widths), "depths": dict(FULL.depths)} | others)


TOO_MUCH: dict[str, tuple[str, str]] = {
    "a width": (fields(widths={"conv1": 10**12}), "widths['conv1'] is 1000000000000; it may be 1,048,576 at most"),
    "classes": (fields(num_classes=10**12), "num_classes is 1000000000000; it may be 100,000 at most"),
    "channels": (fields(in_channels=10**9), "in_channels is 1000000000; it may be 4,096 at most"),
    "pixels": (fields(image_size=10**6), "image_size is 1000000; it may be 4,096 at most"),
    "blocks": (fields(depths={"stage1": 10**12}), "depths['stage1'] is 1000000000000; it may be 1,048,576 at most"),
    "layers": (fields(widths=dict.fromkeys(map(str, range(20_000)), 1)), "20,000 names; it may have 10,000 at most"),
    "layers in a file": (fields(widths=dict.fromkeys(map(str, range(10**6)), 1)), "more than the 4,194,304 bytes"),
    "a name": (fields(network="x" * 10_000), "a name is text of up to 500 letters"),
    "a layer's name": (fields(widths={"x" * 10_000: 1}), "a name is text of up to 500 letters"),
    "digits": (fields(num_classes=1).replace(": 1,", f": {'9' * 5000},", 1), "not a whole JSON file"),
    "lists in lists": (nested(100), "nested more than 32 deep"),
    "lists without end": (nested(100_000), "nested too deep"),
    "keys": (json.dumps(dict.fromkeys(map(str, range(200_000)), 1)), "must hold exactly the keys"),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_too_much_of_anything_is_refused_at_once(what: str, tmp_path: Path) -> None:
    file = tmp_path / "architecture.json"
    file.write_text(TOO_MUCH[what][0])
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert TOO_MUCH[what][1] in (refusal(lambda: Architecture.load(file), file) or "")
    assert time.process_time() - began < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10  # kB


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    assert "bytes" in (refusal(lambda: read_json("/dev/zero"), Path("/dev/zero")) or "")
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe" in (refusal(lambda: read_json(tmp_path / "pipe"), tmp_path / "pipe") or "")


@pytest.mark.parametrize("wrong", BAD_YAML)
def test_yaml_that_is_none_or_too_much(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("given.yaml").write_text(BAD_YAML[wrong])
    began = time.process_time()
    with pytest.raises(TasError) as error:
        parse("search", SearchOptions, ["--config", "given.yaml"])
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
    assert ("given.yaml" in str(error.value)) or "--ratios" in str(error.value)
    assert time.process_time() - began < 10 and not Path("ran").exists()


OPTIONS = sorted(SearchOptions.listed())
PLAIN = st.sampled_from(
    ["1", "-1", "x", "[]", "{}", "null", "true", ".nan", "1e9", "2023-01-01", "[1, x]", "'*'", "&a b"]
)
YAML = st.text(max_size=40) | st.lists(
    st.tuples(st.sampled_from(OPTIONS), PLAIN | st.text(max_size=9)), max_size=4
).map(lambda pairs: "\n".join(f"{key}: {value}" for key, value in pairs))


@pytest.mark.parametrize("options", [SearchOptions, CompareOptions])
@FUZZED
@given(text=YAML)
def test_any_yaml(options: type[SearchOptions | CompareOptions], text: str, tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text(text, encoding="utf-8", errors="replace")
    try:
        parse("search", options, ["--config", str(tmp_path / "given.yaml")])
    except TasError as error:
        assert str(error)


CHANGES = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """The bytes of files with weights, by the ends of their names."""
    directory = tmp_path_factory.mktemp("weights")
    network = build(FULL)
    torch.save({"state_dict": network.state_dict(), "epoch": 1, "loops": {"fit_loop": {}}}, directory / "last.ckpt")
    torch.save(network.state_dict(), directory / "old.pt", _use_new_zipfile_serialization=False)
    run = Run(directory / "run")
    run.start(SearchOptions())
    run.keep(FULL, network, {})
    files = [directory / "last.ckpt", directory / "old.pt", run.weights]
    yield {file.suffix: file.read_bytes() for file in files}


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".safetensors"])
@settings(FUZZED, max_examples=60)
@given(changes=CHANGES, kept=st.floats(0, 2), early=st.booleans())
def test_damaged_weights(
    suffix: str, changes: list[tuple[float, int]], kept: float, early: bool, checkpoints: dict, tmp_path: Path
) -> None:
    content = bytearray(checkpoints[suffix])
    for place, value in changes:
        # What is not numbers stands at the ends.
        content[int(place * (4096 if early else len(content)))] = value
    file = tmp_path / f"given{suffix}"
    file.write_bytes(content[: int(kept * len(content))])
    try:
        load_weights(open_network("resnet20", 10, 1), str(file))
    except TasError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("name", ["model.safetensors", "weights.pt"])
@settings(FUZZED, max_examples=40)
@given(changes=CHANGES, kept=st.floats(0, 2))
def test_a_run_with_damaged_weights(
    name: str, changes: list[tuple[float, int]], kept: float, checkpoints: dict, run: Run
) -> None:
    content = bytearray(checkpoints[f".{name.partition('.')[2]}"])
    for place, value in changes:
        content[int(place * 4096)] = value
    run.weights.unlink(missing_ok=True)
    (run.path / name).write_bytes(content[: int(kept * len(content))])
    refusal(lambda: load(run.path), run.path / name)


def test_what_metrics_say_is_of_their_types(run: Run) -> None:
    search_result().write(run)
    content = json.loads(run.metrics.read_text())
    for key, value in {"val_accuracy": "high", "target_met": 1, "latency_errors": [1], "likeliest": []}.items():
        run.metrics.write_text(json.dumps(content | {key: value}))
        assert key in (refusal(lambda: read_record(run), run.metrics) or "")
