import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tas
from tas.architecture import Architecture
from tas.config import SearchOptions
from tas.config.parsing import parse
from tas.data import folder
from tas.data.digits import Digits
from tas.reading.residuals import tie_residuals
from tas.runs.run import Run
from tests.commands.conftest import (
    metrics_of,
    only_run,
)
from tests.conftest import run_script
from tests.spaces import paper_space, plan_of, unpruned

QUICK = ["--epochs", "1", "--batch-size", "32"]
SHORT = ["--epochs", "3", "--batch-size", "16"]
"""Long enough for the widths and depths of a mixture to move."""
MIXTURE = ["--strategy", "gumbel-mixture"]
FEW = ["--probes", "40", "--draws", "20"]


def test_a_search_leaves_its_results(searched: tuple[Path, str]) -> None:
    run = only_run(searched[0], "search")
    assert run.path.name.startswith("resnet20-digits-")
    for path in (run.config, run.checkpoint, run.architecture, run.metrics, run.path / "architecture.png"):
        assert path.is_file()
    assert list(run.path.glob("events.out.tfevents.*"))
    assert not list(run.path.rglob("*.part"))


def test_metrics_have_exactly_the_keys_promised_with_values_in_range(searched: tuple[Path, str]) -> None:
    metrics = metrics_of(only_run(searched[0], "search"))
    nothing = type(None)
    kinds = {
        "command": str,
        "flops": int,
        "flops_full": int,
        "flops_ratio": float,
        "flops_target": float,
        "flops_nonzero": nothing,
        "flops_nonzero_ratio": nothing,
        "target_met": bool,
        "reachable": nothing,
        "latency": nothing,
        "latency_target": nothing,
        "latency_errors": nothing,
        "memory": nothing,
        "memory_full": nothing,
        "memory_ratio": nothing,
        "memory_target": nothing,
        "params": int,
        "params_full": int,
        "params_ratio": float,
        "params_target": nothing,
        "val_accuracy": float,
        "confidence": float,
        "converged": bool,
        "unsettled": list,
        "likeliest": dict,
        "strategy": str,
        "derived_from": nothing,
        "probes": int,
        "r_squared": float,
        "tau": float,
        "predicted_gain": dict,
        "control": nothing,
        "elasticities": dict,
        "seconds": float,
        "seed": int,
    }
    assert {key: type(value) for key, value in metrics.items()} == kinds
    assert 0 <= metrics["val_accuracy"] <= 1 and 0 <= metrics["confidence"] <= 1
    assert 0 < metrics["flops"] < metrics["flops_full"] and 0 < metrics["params"] < metrics["params_full"]
    assert metrics["flops_ratio"] == metrics["flops"] / metrics["flops_full"]
    assert metrics["params_ratio"] == metrics["params"] / metrics["params_full"]
    assert metrics["command"] == "search"
    assert (metrics["flops_target"], metrics["seed"]) == (0.5, 0)
    assert metrics["seconds"] > 0
    found = Architecture.load(only_run(searched[0], "search").architecture)
    likeliest = found.with_counts(metrics["likeliest"]["widths"], metrics["likeliest"]["depths"])
    assert likeliest.widths.keys() == found.widths.keys() and likeliest.depths.keys() == found.depths.keys()
    assert metrics["likeliest"]["flops_ratio"] == tas.flops(tas.build(likeliest), (1, 8, 8)) / metrics["flops_full"]


def test_the_found_network_is_in_the_band_and_costs_what_the_metrics_say(searched: tuple[Path, str]) -> None:
    run = only_run(searched[0], "search")
    metrics, found = metrics_of(run), Architecture.load(run.architecture)
    network, full = tas.build(found), tas.build(unpruned("resnet20", num_classes=10, in_channels=1, size=8))
    assert metrics["flops"] == tas.flops(network, (1, 8, 8))
    assert metrics["flops_full"] == tas.flops(full, (1, 8, 8))
    assert metrics["params"] == tas.parameters(network)
    assert metrics["params_full"] == tas.parameters(full)
    assert metrics["target_met"]
    assert 0.475 <= metrics["flops_ratio"] <= 0.525


def test_a_search_writes_its_complete_options_which_config_accepts(searched: tuple[Path, str]) -> None:
    run = only_run(searched[0], "search")
    assert parse("search", SearchOptions, ["--config", str(run.config)]) == SearchOptions.of(epochs=2)


def test_the_summary_tells_what_came_out_and_what_to_type_next(searched: tuple[Path, str]) -> None:
    directory, out = searched
    run = only_run(directory, "search")
    path = str(run.path.relative_to(directory))
    for expected in ("resnet20 on digits", "0.5 +- 5%: met", f"{path}/architecture.json", "tensorboard --logdir runs"):
        assert expected in out
    assert re.search(rf"^  next +.*train.* --kd --architecture {path}$", out, re.MULTILINE)


def test_tensorboard_has_everything_that_a_search_learns(searched: tuple[Path, str]) -> None:
    run = only_run(searched[0], "search")
    events = EventAccumulator(str(run.path)).Reload()
    plan = tie_residuals(plan_of("resnet20"))
    expected = {f"weights/{value}" for value in ("loss", "accuracy", "smallest", "random")}
    expected |= {f"flops/{key}" for key in ("expected_ratio", "derived_ratio", "band_low", "band_high")}
    expected |= {"scores/r_squared", "scores/tau", "schedule/lr", "val_accuracy", "confidence/mean"}
    expected |= {f"confidence/{name}" for name in (*plan.widths, *plan.depths())}
    assert expected <= set(events.Tags()["scalars"])
    assert set(events.Tags()["images"]) == {"distributions", "elasticities"}
    assert {round(event.value, 4) for event in events.Scalars("flops/band_low")} == {0.475}
    assert all(0 < event.value < 1 for event in events.Scalars("flops/expected_ratio"))


def test_tensorboard_has_everything_that_a_mixture_learns(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    assert cli("search", *SHORT, *MIXTURE, "--output", "run").status == 0
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    expected = {f"{step}/{value}" for step in ("weights", "architecture") for value in ("loss", "accuracy")}
    expected |= {f"flops/{key}" for key in ("expected_ratio", "derived_ratio", "band_low", "band_high")}
    expected |= {"schedule/tau", "schedule/lr", "schedule/arch_lr", "val_accuracy", "confidence/mean"}
    assert expected <= set(events.Tags()["scalars"])
    taus = [event.value for event in events.Scalars("schedule/tau")]
    assert taus == sorted(taus, reverse=True) and all(0.1 <= tau <= 1 for tau in taus)


@pytest.mark.parametrize(("which", "searches"), [("width", {"widths"}), ("depth", {"depths"})])
def test_a_search_of_one_kind_keeps_the_other_full(
    which: str, searches: set[str], cli: Callable, few_digits: None, tmp_path: Path
) -> None:
    status, *_ = cli("search", *QUICK, "--search", which, "--flops-target", "0.5343", "--output", "run")
    assert status == 0
    found = Architecture.load(tmp_path / "run" / "architecture.json")
    full = unpruned("resnet20", num_classes=10, in_channels=1, size=8)
    changed = {part for part in ("widths", "depths") if getattr(found, part) != getattr(full, part)}
    assert changed == searches
    metrics = metrics_of(Run(tmp_path / "run"))
    assert metrics["target_met"] and 0.5076 <= metrics["flops_ratio"] <= 0.5611


def test_parameters_below_the_smallest_network_are_told_what_that_has(refused: Callable) -> None:
    line = refused("search", "--params-target", "0.01", "--flops-target", "0.5")
    assert "--params-target 0.01: the smallest network" in line
    full = unpruned("resnet20", num_classes=10, in_channels=1, size=8)
    counts = [tas.parameters(tas.build(one)) for one in (paper_space(full, size=8).smallest(), full)]
    assert float(line.split("keeps ")[1].split()[0]) == pytest.approx(counts[0] / counts[1], abs=1e-4)


def test_one_sample_warns_that_the_widths_get_no_gradient(cli: Callable, few_digits: None) -> None:
    status, _, err = cli("search", *QUICK, *MIXTURE, "--samples", "1")
    assert status == 0
    assert "tas search: warning: with --samples 1" in err


@pytest.mark.parametrize("data", ["digits", "folder"])
def test_a_search_never_loads_a_test_image(
    data: str, cli: Callable, few_digits: None, make_folder: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    for kind in (Digits, folder.Folder):

        def load(self: object, train: bool, original: Callable = kind.load) -> object:
            asked.append(train)
            return original(self, train)

        monkeypatch.setattr(kind, "load", load)
    read: list[Path] = []
    read_image = folder.read_image
    monkeypatch.setattr(folder, "read_image", lambda path, size: (read.append(path), read_image(path, size))[1])
    given = ["--data", data, *(["--data-dir", make_folder(size=(8, 8))] if data == "folder" else [])]
    assert cli("search", *QUICK, *given).status == 0
    assert asked == [True]
    assert not [path for path in read if "test" in path.parts]


def test_a_search_of_a_folder_takes_its_size_channels_and_classes(
    cli: Callable, make_folder: Callable, tmp_path: Path
) -> None:
    status, *_ = cli(
        "search", *QUICK, "--data", "folder", "--data-dir", make_folder(), "--image-size", "8", "--output", "run"
    )
    assert status == 0
    found = Architecture.load(tmp_path / "run" / "architecture.json")
    assert (found.num_classes, found.in_channels) == (2, 3)
    assert metrics_of(Run(tmp_path / "run"))["flops"] == tas.flops(tas.build(found), (3, 8, 8))


def test_an_image_that_a_worker_cannot_read_ends_the_search_in_a_line_that_names_it(
    cli: Callable, make_folder: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(folder, "IN_MEMORY", 0)
    root = make_folder(size=(8, 8))
    bad = root / "train" / "dog" / "007.jpg"
    bad.write_bytes(bad.read_bytes()[:-20])  # its header can be read
    status, _, err = cli("search", *QUICK, "--data", "folder", "--data-dir", root, "--workers", "1", "--output", "run")
    assert status == 2
    assert err.splitlines()[-1].startswith(f"tas search: error: {bad}: not a readable image")
    assert "Traceback" not in err
    assert not Run(tmp_path / "run").finished()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--network", "resnt20"], "--network: unknown network 'resnt20', did you mean 'resnet20'?"),
        (["--data", "digit"], "--data: unknown data set 'digit', did you mean 'digits'?"),
        (["--flops-target", "0"], "--flops-target is 0.0; allowed: a share above 0, at most 1"),
        (["--flops-target", "1.5"], "--flops-target is 1.5; allowed: a share above 0, at most 1"),
        (["--params-target", "0"], "--params-target is 0.0; allowed: a share above 0, at most 1"),
        (["--data", "folder", "--data-dir", "missing"], "--data-dir missing: no such directory"),
        (["--data", "folder", "--data-dir", "."], "--data-dir .: holds no train/"),
        (["--image-size", "16"], "--image-size goes with --data folder"),
        (["--accelerator", "abacus"], "--accelerator abacus"),
        (["--precision", "7-bit"], "--precision 7-bit"),
        (["--lightning-strategy", "wishful"], "--lightning-strategy wishful"),
        (["--devices", "0"], "--devices 0"),
        (["--resume", "missing"], "--resume missing: no run is there"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_named_and_leaves_nothing(given: list[str], said: str, refused: Callable, tmp_path: Path) -> None:
    assert said in refused("search", *given)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("which", ["width", "depth", "both"])
def test_a_target_below_the_smallest_network_is_told_what_that_is(which: str, refused: Callable) -> None:
    line = refused("search", "--flops-target", "0.01", "--search", which)
    assert "--flops-target 0.01: the smallest network" in line
    smallest = float(line.split("keeps ")[1].split()[0])
    full = unpruned("resnet20", num_classes=10, in_channels=1, size=8)
    space = paper_space(full, size=8, search=which)
    built = [tas.flops(tas.build(architecture), (1, 8, 8)) for architecture in (space.smallest(), full)]
    assert smallest == pytest.approx(built[0] / built[1], abs=1e-4)


def test_the_smallest_target_that_is_told_is_accepted(cli: Callable, few_digits: None, refused: Callable) -> None:
    smallest = refused("search", "--flops-target", "0.01").split("keeps ")[1].split()[0]
    assert cli("search", *QUICK, "--flops-target", smallest).status == 0


def test_bad_folders_leave_no_run(refused: Callable, make_folder: Callable, tmp_path: Path) -> None:
    root = make_folder(size=(8, 8))
    given = ["--data", "folder", "--data-dir", root]
    bad = root / "train" / "dog" / "003.jpg"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:100])
    assert "1 image cannot be read: train/dog/003.jpg (" in refused("search", *given)
    Image.new("RGB", (9, 8)).save(bad)
    assert f"{bad} is 9x8 pixels" in refused("search", *given)
    bad.write_bytes(whole)
    shutil.rmtree(root / "test" / "dog")
    (root / "test" / "hen").mkdir()
    assert "dog, hen" in refused("search", *given)
    shutil.rmtree(root / "train" / "dog")
    (root / "train" / "dog").mkdir()
    assert f"class folder {root / 'train' / 'dog'} holds no images" in refused("search", *given)
    shutil.rmtree(root / "train" / "dog")
    assert "holds 1 class folder" in refused("search", *given)
    assert not (tmp_path / "runs").exists()


def test_images_too_small_for_the_networks_are_refused(refused: Callable, make_folder: Callable) -> None:
    line = refused("search", "--data", "folder", "--data-dir", make_folder(size=(7, 7)))
    assert "7x7" in line and "--image-size" in line


def test_a_class_with_a_single_image_cannot_be_searched(refused: Callable, make_folder: Callable) -> None:
    root = make_folder({"train": {"cat": 8, "dog": 1}, "test": {"cat": 1, "dog": 1}}, size=(8, 8))
    assert "at least 2" in refused("search", "--data", "folder", "--data-dir", root)


def test_an_output_that_exists_is_refused_and_left_as_it_is(refused: Callable, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    assert "--output mine: exists already" in refused("search", "--output", "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_bad_input_found_late_is_one_line_as_a_script_too(tmp_path: Path) -> None:
    status, out, err = run_script("search.py", "--network", "resnet21", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert err.startswith("tas search: error: --network: unknown network 'resnet21', did you mean 'resnet")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_a_search_ends_in_other_precisions_too(cli: Callable, few_digits: None, tmp_path: Path, precision: str) -> None:
    assert cli("search", *QUICK, "--precision", precision, "--output", "run").status == 0
    assert Run(tmp_path / "run").finished()


def test_a_loss_that_diverges_is_one_line_and_no_result(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    status, _, err = cli("search", *QUICK, "--epochs", "4", "--lr", "1e20", "--output", "run")
    assert status == 2
    assert "--lr" in err.splitlines()[-1] and "Traceback" not in err
    assert not Run(tmp_path / "run").finished()


def test_a_damaged_checkpoint_is_named(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    assert cli("search", *QUICK, "--output", "run").status == 0
    run = Run(tmp_path / "run")
    run.metrics.unlink()  # as if it had been interrupted at the very end
    run.checkpoint.write_bytes(b"junk")
    status, _, err = cli("search", "--resume", "run")
    assert status == 2
    assert "last.ckpt: damaged" in err
