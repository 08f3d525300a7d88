"""`tas profile`, as users type it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tas
from tas.runs.run import Run
from tas.timing.onnx_runtime import NEEDED
from tests.commands.test_train_compiled import TINY
from tests.conftest import environment

QUICK = ("--seconds", 0.01, "--rounds", 5, "--batch-size", 4)


def test_a_run_is_held_against_the_unpruned_network(
    cli: Callable, make_search: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    run = make_search()
    status, out, err = cli("profile", run.path, *QUICK, "--layers", 3)
    assert status == 0, err
    before, after = tas.open_network("resnet20", 10, 1), tas.load(run.path)
    kept = tas.flops(after, (1, 8, 8)) / tas.flops(before, (1, 8, 8))
    assert f"{kept:.1%}" in out and "resnet20 as it is (before) and as found (after), images of 1x8x8" in out
    for words in ("PyTorch, CPU, 1 image", "PyTorch, CPU, 4 images", "Estimate:", "entropy", "more", "torch 2."):
        assert words in out
    assert 'ONNX Runtime is not timed: onnx, onnxscript or onnxruntime is not installed; pip install "tas[export]"' in (
        " ".join(out.split())
    )


def test_json_is_one_object_and_nothing_else(cli: Callable, make_search: Callable[..., Run]) -> None:
    run = make_search()
    status, out, err = cli("profile", "--run", run.path, *QUICK, "--no-onnx", "--json", "--threads", 1)
    assert status == 0, err
    said = json.loads(out)
    assert said["conditions"]["threads"] == 1 and said["image"] == [1, 8, 8]
    before, after = tas.open_network("resnet20", 10, 1), tas.load(run.path)
    assert said["flops"]["before"] == tas.flops(before, (1, 8, 8))
    assert said["flops"]["after"] == tas.flops(after, (1, 8, 8))
    assert said["params"]["after"] == sum(parameter.numel() for parameter in after.parameters())
    assert said["peak_activation_bytes"]["after"] < said["peak_activation_bytes"]["before"]
    assert said["coded"]["bytes"] < said["file_bytes"]["after"] < said["file_bytes"]["before"]
    assert {(row["engine"], row["images"]) for row in said["latencies"]} >= {("PyTorch", 1), ("PyTorch", 4)}
    for row in said["latencies"]:
        assert row["rounds"] == 5 and row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
        assert row["arrived"] == pytest.approx((1 - row["ratio"]["median"]) / (1 - said["flops"]["kept"]))
    assert "stage1.0.conv1" in {layer["name"] for layer in said["layers"]["layers"]} and said["verdict"]


@pytest.mark.slow
def test_latencies_are_timed_for_the_searches_to_come(
    cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shape = ("--image-size", 8, "--in-channels", 1, "--num-classes", 10)
    profiled = ("profile", "--network", "resnet20", *shape, *QUICK, "--no-onnx", "--latencies", "--latency-threads", 1)
    status, out, err = cli(*profiled, "--json")
    assert status == 0, err
    table = json.loads(out)["latency_table"]
    assert table["measured_on"] == "PyTorch, CPU, 1 thread, 1 image" and table["median_error"] >= 0
    kept = Path(table["file"]).read_bytes()
    short = ("--data", "digits", "--epochs", 1, "--probes", 30, "--train-images", 200, "--output", tmp_path / "run")
    aimed = ("--latency-target", 0.7, "--latency-threads", 1, "--tolerance", 0.9)
    status, out, err = cli("search", "--network", "resnet20", *short, *aimed)
    assert status == 0, err
    assert Path(table["file"]).read_bytes() == kept and f"{table['median_error']:.1%} (median)" in out
    status, out, _ = cli(*profiled)
    assert status == 0 and f"Kept in {table['file']}" in " ".join(out.split())


def test_a_network_is_profiled_alone(cli: Callable) -> None:
    shape = ("--image-size", 8, "--in-channels", 1, "--num-classes", 3)
    status, out, err = cli("profile", "--network", "resnet20", *shape, *QUICK, "--no-onnx", "--json")
    assert status == 0, err
    said = json.loads(out)
    assert said["flops"]["after"] is None and said["flops"]["kept"] is None
    assert all(row["after"] is None and row["ratio"] is None for row in said["latencies"])
    status, out, err = cli("profile", "--network", "resnet20", *shape, *QUICK, "--no-onnx", "--batch-size", 1)
    assert (status, "before" in out, "4 images" in out) == (0, False, False), err


@pytest.mark.slow
def test_compiled_networks_and_onnx_runtime_are_timed_too(tmp_path: Path) -> None:
    for name in NEEDED:
        pytest.importorskip(name)
    (tmp_path / "tiny.py").write_text(TINY)
    # A process of its own: what torch.compile imports warns of other libraries.
    command = [sys.executable, "-m", "tas", "profile", "--network", "tiny:make", "--image-size", 8, "--in-channels", 1]
    command += [*QUICK, "--compile", "--json"]
    variables = environment() | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    done = subprocess.run(list(map(str, command)), cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [(row["engine"], row["images"]) for row in json.loads(done.stdout)["latencies"] if row["device"] == "CPU"]
    assert found == [(engine, count) for engine in ("PyTorch", "torch.compile", "ONNX Runtime") for count in (1, 4)]
    assert "PROFILER" not in done.stderr.upper()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--run is missing; name a finished run, tas profile runs/train/RUN, or a --network"),
        (("nothing",), "nothing: no such directory"),
        ((".",), ".: not a finished run"),
        (("--network", "resnet21"), "--network: unknown network 'resnet21', did you mean"),
        (("--network", "resnet20", "--batch-size", 0), "--batch-size is 0; allowed: 1 or more"),
        (("--network", "resnet20", "--threads", 0), "--threads is 0; allowed: 1 or more"),
        (("--network", "resnet20", "--rounds", 4), "--rounds is 4; allowed: 5 or more"),
        (("--network", "resnet20", "--seconds", 0), "--seconds is 0.0; allowed: above 0"),
        (("--network", "resnet20", "--layers", 0), "--layers is 0; allowed: 1 or more"),
        (("some", "--network", "resnet20"), "--run and --network exclude each other; give one"),
        (("some", "--image-size", 8), "--image-size goes with --network; a run has its own"),
        (("some", "--latencies"), "--latencies goes with --network"),
        (("--network", "resnet20", "--latency-batch", 4), "-batch and -threads go with --latencies"),
        (
            ("--network", "torchvision/alexnet", "--image-size", 8),
            "--network: torchvision/alexnet does not take images of 3x8x8, as --in-channels and --image-size say",
        ),
    ],
)
def test_bad_input_is_one_line(refused: Callable, tmp_path: Path, arguments: tuple, said: str) -> None:
    assert said in refused("profile", *arguments)
