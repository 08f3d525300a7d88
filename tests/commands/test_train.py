import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tas
from tas.architecture import Architecture
from tas.commands.teachers import key_of
from tas.config import TrainOptions
from tas.config.parsing import parse
from tas.data.digits import Digits
from tas.reading.original import open_original
from tas.runs.run import Run
from tas.training.module import TrainModule
from tests.commands.conftest import metrics_of, only_run, yaml_of
from tests.conftest import ROOT
from tests.spaces import unpruned

QUICK = ["--epochs", "1", "--batch-size", "32"]
PLAIN = ["--network", "resnet20", *QUICK]
KEYS = {
    "train_accuracy",
    "constant_accuracy",
    "command",
    "test_accuracy",
    "teacher_accuracy",
    "kd",
    "flops",
    "flops_full",
    "flops_ratio",
    "flops_nonzero",
    "flops_nonzero_ratio",
    "params",
    "params_full",
    "params_ratio",
    "epochs",
    "seconds",
    "seed",
}


def test_kd_trains_the_newest_search_and_its_teacher_and_says_so(trained: tuple[Path, str]) -> None:
    directory, out = trained
    teacher, run, search = (only_run(directory, kind) for kind in ("teachers", "train", "search"))
    assert out.count("teacher: training resnet20 once") == 1
    assert str(teacher.path.relative_to(directory)) in out
    assert Architecture.load(run.architecture) == Architecture.load(search.architecture)
    full = unpruned("resnet20", num_classes=10, in_channels=1, size=8)
    assert Architecture.load(teacher.architecture) == full


def test_a_training_leaves_its_results(trained: tuple[Path, str]) -> None:
    run = only_run(trained[0], "train")
    assert run.path.name.startswith("resnet20-digits-")
    for path in (run.config, run.checkpoint, run.architecture, run.weights, run.metrics):
        assert path.is_file()
    assert not list(run.path.rglob("*.part"))


def test_metrics_have_exactly_the_keys_promised_with_values_in_range(trained: tuple[Path, str]) -> None:
    directory, _ = trained
    metrics, teacher = metrics_of(only_run(directory, "train")), metrics_of(only_run(directory, "teachers"))
    assert set(metrics) == set(teacher) == KEYS
    for values in (metrics, teacher):
        counts = ("flops", "flops_full", "params", "params_full", "epochs", "seed")
        assert all(type(values[key]) is int for key in counts)
        assert (values["command"], values["flops_nonzero"], values["flops_nonzero_ratio"]) == ("train", None, None)
        assert type(values["test_accuracy"]) is float and 0 <= values["test_accuracy"] <= 1
        assert values["seconds"] > 0
    assert metrics["kd"] is True and teacher["kd"] is False
    assert teacher["teacher_accuracy"] is None
    assert metrics["teacher_accuracy"] == pytest.approx(teacher["test_accuracy"])
    assert (metrics["epochs"], metrics["seed"]) == (1, 0)


def test_the_network_costs_what_the_metrics_say(trained: tuple[Path, str]) -> None:
    run = only_run(trained[0], "train")
    metrics, network = metrics_of(run), tas.load(run.path)
    full = tas.build(unpruned("resnet20", num_classes=10, in_channels=1, size=8))
    assert metrics["flops"] == tas.flops(network, (1, 8, 8))
    assert metrics["flops_full"] == tas.flops(full, (1, 8, 8))
    assert metrics["flops_ratio"] == metrics["flops"] / metrics["flops_full"]
    assert metrics["params"] == tas.parameters(network)
    assert metrics["params_full"] == tas.parameters(full)
    assert metrics["params_ratio"] == metrics["params"] / metrics["params_full"]


@pytest.mark.parametrize("kind", ["train", "teachers"])
def test_a_loaded_network_has_the_test_accuracy_of_the_metrics(kind: str, trained: tuple[Path, str]) -> None:
    run = only_run(trained[0], kind)
    data = Digits(batch_size=64)
    images, labels = (torch.cat(part) for part in zip(*data.test_dataloader()))
    with torch.no_grad():
        right = (tas.load(run.path)(images).argmax(1) == labels).float().mean()
    assert metrics_of(run)["test_accuracy"] == pytest.approx(right.item(), abs=1e-6)


def test_a_training_writes_its_complete_options_which_config_accepts(trained: tuple[Path, str]) -> None:
    directory, _ = trained
    options = parse("train", TrainOptions, ["--config", str(only_run(directory, "train").config)])
    search = str(only_run(directory, "search").path.relative_to(directory))
    assert options == TrainOptions.of(
        architecture=search, data="digits", data_dir="data", on_bad_image="error", epochs=1, kd=True, init="inherited"
    )


def test_tensorboard_has_loss_accuracy_and_learning_rate(trained: tuple[Path, str]) -> None:
    events = EventAccumulator(str(only_run(trained[0], "train").path)).Reload()
    assert {"loss", "accuracy", "schedule/lr"} <= set(events.Tags()["scalars"])


def test_the_summary_tells_what_came_out(trained: tuple[Path, str]) -> None:
    directory, out = trained
    run = only_run(directory, "train")
    shown = out[out.rindex("training finished") :]
    for expected in (f"{metrics_of(run)['test_accuracy']:.2%}", str(run.weights.relative_to(directory)), "tas.load("):
        assert expected in shown


def test_a_second_training_finds_the_teacher_and_does_not_touch_it(
    trained: tuple[Path, str], cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, _ = trained
    teacher = only_run(directory, "teachers")
    before = {path: path.stat().st_mtime_ns for path in teacher.path.rglob("*")}
    monkeypatch.chdir(directory)
    search = only_run(directory, "search").path
    output = directory / "second"
    status, out, _ = cli("train", "--kd", "--architecture", search, "--epochs", "1", "--output", output)
    assert status == 0
    assert f"teacher: resnet20 as trained before, {teacher.path.relative_to(directory)}\n" in out
    assert "teacher: training" not in out
    assert {path: path.stat().st_mtime_ns for path in teacher.path.rglob("*")} == before
    first, second = metrics_of(only_run(directory, "train")), metrics_of(Run(output))
    # The same seed gives the same network, whether or not its teacher was trained by the same command.
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_another_recipe_needs_another_teacher(cli: Callable, few_digits: None, make_search: Callable) -> None:
    make_search()
    said = [cli("train", "--kd", *QUICK, *more).out for more in ([], ["--seed", "1"], ["--kd-alpha", "0.5"])]
    assert ["teacher: training" in out for out in said] == [True, True, False]
    assert len(list(Path("runs/teachers").iterdir())) == 2


def test_other_numbers_need_another_teacher(cli: Callable, few_digits: None, make_search: Callable) -> None:
    make_search()
    precisions = ["32-true", "bf16-mixed", "32-true"]
    said = [cli("train", "--kd", *QUICK, "--precision", precision).out for precision in precisions]
    assert ["teacher: training" in out for out in said] == [True, True, False]
    teachers = [Run(path) for path in Path("runs/teachers").iterdir()]
    assert sorted(yaml_of(teacher)["precision"] for teacher in teachers) == ["32-true", "bf16-mixed"]


def test_where_a_teacher_is_trained_and_what_it_teaches_do_not_make_another_one(few_digits: None) -> None:
    def key(images: int | None = None, **changes: object) -> str:
        data = Digits(batch_size=64, train_images=images)
        data.setup()
        options = TrainOptions.of(data="digits", network="resnet20", train_images=images, **changes)
        return key_of(options, open_original(options.source, 10, data.input_shape), data)

    assert key() == key(workers=2) == key(accelerator="cpu") == key(data_dir="elsewhere") == key(output="there")
    others = [key(precision="bf16-mixed"), key(devices="2"), key(epochs=2), key(seed=1), key(images=20)]
    assert len({key(), *others}) == 6


def test_a_teacher_may_be_given(
    cli: Callable, few_digits: None, make_search: Callable, make_teacher: Callable, tmp_path: Path
) -> None:
    make_search()
    assert cli("train", "--kd", "--teacher", make_teacher().path, *QUICK, "--output", "run").status == 0
    assert not (tmp_path / "runs" / "teachers").exists()
    assert metrics_of(Run("run"))["kd"] is True


def test_without_kd_there_is_no_teacher(cli: Callable, few_digits: None, make_search: Callable, tmp_path: Path) -> None:
    make_search()
    assert cli("train", *QUICK, "--output", "run").status == 0
    metrics = metrics_of(Run("run"))
    assert metrics["kd"] is False and metrics["teacher_accuracy"] is None
    assert not (tmp_path / "runs" / "teachers").exists()


def test_an_unpruned_network_is_trained_by_name(cli: Callable, few_digits: None) -> None:
    assert cli("train", *PLAIN, "--output", "run").status == 0
    assert metrics_of(Run("run"))["flops_ratio"] == 1.0
    full = unpruned("resnet20", num_classes=10, in_channels=1, size=8)
    assert Architecture.load("run/architecture.json") == full


def test_training_takes_the_search_that_finished_last(cli: Callable, few_digits: None, make_search: Callable) -> None:
    for name, finished_at in (("a", 300), ("b", 100)):
        os.utime(make_search(name).metrics, (finished_at, finished_at))
    assert cli("train", *QUICK, "--output", "run").status == 0
    assert yaml_of(Run("run"))["architecture"] == os.path.join("runs", "search", "a")


@pytest.mark.parametrize("place", ["runs/search/made", "runs/search/made/architecture.json"])
def test_an_architecture_is_given_as_a_file_or_as_its_run(
    place: str, cli: Callable, few_digits: None, make_search: Callable
) -> None:
    run = make_search()
    assert cli("train", "--architecture", place, *QUICK, "--output", "run").status == 0
    assert Architecture.load("run/architecture.json") == Architecture.load(run.architecture)


def test_training_goes_on_with_the_data_of_the_search(
    cli: Callable, make_folder: Callable, make_search: Callable
) -> None:
    root = make_folder()
    make_search(classes=2, channels=3, data="folder", data_dir=str(root), image_size=8)
    assert cli("train", *QUICK, "--output", "run").status == 0
    saved = yaml_of(Run("run"))
    assert (saved["data"], saved["data_dir"], saved["image_size"]) == ("folder", str(root), 8)


def test_test_images_are_loaded_once_and_after_training(
    cli: Callable, few_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    load, training_step = Digits.load, TrainModule.training_step

    def loading(self: Digits, train: bool) -> object:
        happened.append("load train" if train else "load test")
        return load(self, train)

    def training(self: TrainModule, *arguments: object) -> object:
        happened.append("step")
        return training_step(self, *arguments)

    monkeypatch.setattr(Digits, "load", loading)
    monkeypatch.setattr(TrainModule, "training_step", training)
    assert cli("train", *PLAIN, "--epochs", "2").status == 0
    assert happened == ["load train", *["step"] * 4, "load test"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "no finished search"),
        (["--architecture", "missing.json"], "missing.json: cannot be read"),
        (["--network", "resnt20"], "--network: unknown network 'resnt20', did you mean 'resnet20'?"),
        (["--network", "resnet20", "--architecture", "x"], "--network and --architecture exclude each other"),
        (["--network", "resnet20", "--data", "cifr10"], "--data: unknown data set 'cifr10', did you mean 'cifar10'?"),
        (["--network", "resnet20", "--teacher", "x"], "--teacher goes with --kd"),
        (["--network", "resnet20", "--kd", "--teacher", "missing"], "--teacher: missing: no such directory"),
        (["--network", "resnet20", "--kd-alpha", "2"], "--kd-alpha is 2.0; allowed: from 0 to 1"),
        (["--resume", "missing"], "--resume missing: no run is there"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_named_and_leaves_nothing(given: list[str], said: str, refused: Callable, tmp_path: Path) -> None:
    assert said in refused("train", *given)
    assert not (tmp_path / "runs").exists()


def test_a_search_that_did_not_finish_is_not_trained(refused: Callable, make_search: Callable) -> None:
    make_search().metrics.unlink()
    assert "no finished search" in refused("train", "--kd")


def damage(run: Run, how: str) -> None:
    text = run.architecture.read_text()
    content = json.loads(text)
    first, stage = next(iter(content["widths"])), next(iter(content["depths"]))
    if how == "truncated":
        run.architecture.write_text(text[:100])
        return
    if how == "empty":
        run.architecture.write_text("")
        return
    if how == "list":
        content = [1]
    elif how == "other network":
        content["network"] = "resnet32"
    elif how == "unknown network":
        content["network"] = "resnt20"
    elif how == "too wide":
        content["widths"][first] = 17
    elif how == "no width":
        content["widths"][first] = 0
    elif how == "half a channel":
        content["widths"][first] = 7.5
    elif how == "too deep":
        content["depths"][stage] = 4
    elif how == "missing layer":
        del content["widths"][first]
    elif how == "unknown key":
        content["widhts"] = {}
    run.architecture.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", "not a whole JSON file"),
        ("empty", "not a whole JSON file"),
        ("list", "not an architecture"),
        ("other network", "the architecture of resnet32: widths"),
        ("unknown network", "did you mean 'resnet20'?"),
        ("too wide", "is 17; the network allows 1 to 16"),
        ("no width", "is 0; it must be a whole number from 1 up"),
        ("half a channel", "is 7.5; it must be a whole number from 1 up"),
        ("too deep", "is 4; the network allows 1 to 3"),
        ("missing layer", "the architecture of resnet20: widths lacks"),
        ("unknown key", "must hold exactly the keys"),
    ],
)
def test_a_bad_architecture_file_is_named(how: str, said: str, refused: Callable, make_search: Callable) -> None:
    run = make_search()
    damage(run, how)
    line = refused("train", "--architecture", os.path.relpath(run.path))
    assert said in line and os.path.relpath(run.architecture) in line


@pytest.mark.parametrize(("classes", "channels", "said"), [(2, 1, "2 classes"), (10, 3, "3 image channels")])
def test_an_architecture_for_other_images_is_refused(
    classes: int, channels: int, said: str, refused: Callable, make_search: Callable
) -> None:
    path = os.path.relpath(make_search(classes=classes, channels=channels).path)
    line = refused("train", "--architecture", path)
    assert f"--architecture {path}: is for {said}" in line


@pytest.mark.parametrize(("classes", "channels", "said"), [(2, 1, "2 classes"), (10, 3, "3 image channels")])
def test_a_teacher_of_other_images_is_refused(
    classes: int, channels: int, said: str, refused: Callable, make_teacher: Callable
) -> None:
    teacher = make_teacher(classes=classes, channels=channels)
    line = refused_teacher(refused, teacher)
    assert f"--teacher {teacher.path}: is for {said}" in line


def refused_teacher(refused: Callable, teacher: Run) -> str:
    line = refused("train", "--network", "resnet20", "--kd", "--teacher", teacher.path)
    assert not Path("runs").exists()
    return line


def test_a_search_is_no_teacher(refused: Callable, make_search: Callable) -> None:
    run = make_search()
    given = ["--network", "resnet20", "--kd", "--teacher", run.path]
    assert "not a finished run of tas train, but of tas search" in refused("train", *given)


def test_a_teacher_with_damaged_weights_is_named(refused: Callable, make_teacher: Callable) -> None:
    teacher = make_teacher()
    teacher.weights.write_bytes(b"cut off")
    assert f"--teacher: {teacher.weights}: " in refused_teacher(refused, teacher)


def test_a_damaged_config_beside_the_architecture_is_named(refused: Callable, make_search: Callable) -> None:
    run = make_search()
    run.config.write_text("data: [")
    line = refused("train", "--architecture", os.path.relpath(run.path))
    assert os.path.relpath(run.config) in line


def test_a_training_run_of_a_search_is_not_resumed_as_a_training(refused: Callable, make_search: Callable) -> None:
    run = make_search()
    run.metrics.unlink()
    line = refused("train", "--resume", os.path.relpath(run.path))
    assert os.path.relpath(run.config) in line


def test_a_training_that_diverges_is_one_line_and_no_result(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    status, _, err = cli("train", *PLAIN, "--lr", "1e30", "--output", "run")
    assert status == 2
    assert "--lr" in err.splitlines()[-1] and "Traceback" not in err
    assert not Run(tmp_path / "run").finished()


def test_an_output_that_is_taken_is_refused_before_a_teacher_is_trained(
    cli: Callable, few_digits: None, make_search: Callable, tmp_path: Path
) -> None:
    make_search()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("")
    assert cli("train", "--kd", *QUICK, "--output", "taken").status == 2
    assert not (tmp_path / "runs" / "teachers").exists()


def test_a_published_network_is_trained_by_the_command_of_the_readme(
    cli: Callable, make_cifar: Callable, tmp_path: Path
) -> None:
    published = ROOT / "configs" / "published" / "cifar10-resnet20.json"
    files = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    data = make_cifar(10, files, per_file=20)
    recipe = ["--config", str(ROOT / "configs/train/cifar10.yaml"), "--architecture", str(published)]
    status, _, err = cli("train", *recipe, "--data-dir", str(data), "--epochs", "1", "--batch-size", "20")
    assert status == 0, err
    run = only_run(tmp_path, "train")
    assert Architecture.load(run.architecture) == Architecture.load(published)
    assert metrics_of(run)["teacher_accuracy"] is not None
