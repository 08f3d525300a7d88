import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tas.architecture import Architecture
from tas.comparison import scheduler as running
from tas.comparison.command import space_for
from tas.comparison.jobs import Job, list_jobs
from tas.comparison.perform import perform_job
from tas.config import CompareOptions
from tas.config.groups import Source
from tas.data.digits import Digits
from tas.data.images import Images
from tas.reading.original import open_original
from tas.runs.run import Run
from tas.search.module import SearchModule
from tas.training.module import TrainModule
from tests.commands.conftest import metrics_of

TINY = ["--network", "resnet20", "--train-images", "60", "--epochs", "1", "--batch-size", "32"]
"""The recipe of the smallest comparison."""
SEARCHED = ["--methods", "tas-width", "--search.epochs", "1", *TINY]
TWO = [
    "--methods",
    "uniform",
    "tas-depth",
    "--seeds",
    "0",
    "1",
    "--training",
    "scratch-e",
    "kd",
    "--tolerance",
    "0.2",
]


def runs_below(directory: Path) -> dict[str, Run]:
    """Folder inside a comparison's -> the finished run there."""
    return {
        str(path.parent.relative_to(directory)): Run(path.parent)
        for path in directory.rglob("metrics.json")
        if path.parent != directory
    }


def results_of(directory: Path) -> list[dict[str, Any]]:
    return json.loads((directory / "results.json").read_text(encoding="utf-8"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """For every time that images are loaded: the folder of the job that does it, and whether they are for training."""
    now, loads = ["the command itself"], []
    load = Digits.load

    def counted(self: Digits, train: bool) -> Images:
        loads.append((now[0], train))
        return load(self, train)

    def performed(job: Job) -> str | None:
        now[0] = str(job.path)
        error = perform_job(job)
        now[0] = "the command itself"
        return error

    monkeypatch.setattr(Digits, "load", counted)
    monkeypatch.setattr(running, "perform_job", performed)
    return loads


@pytest.mark.slow
def test_a_comparison_leaves_every_run_and_all_that_it_shows(
    cli: Callable, tmp_path: Path, seen: list[tuple[str, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tas.comparison.agreement.DRAWN", 2)  # drawing takes long, and is tested elsewhere
    arguments = ["compare", *SEARCHED, *TWO, "--output", "out"]
    status, out, err = cli(*arguments)
    assert (status, err) == (0, ""), err
    home = tmp_path / "out"
    runs = runs_below(home)
    assert len(runs) == 14
    assert {"teacher/seed0", "structures/tas-depth/0.5/seed1", "trainings/uniform/0.5/scratch-e+kd/seed1"} <= set(runs)
    assert "[14/14] tas-depth 0.5 scratch-e+kd, seed 1: " in out
    for run in runs.values():
        assert (run.path / "log.txt").read_text(encoding="utf-8").count("finished") == 1
        assert (run.path / "commit.txt").read_text(encoding="utf-8").strip()

    # The test images are seen once by every training, after it, and by nothing else.
    tested = Counter(folder for folder, train in seen if not train)
    assert tested == {f"out/{name}": 1 for name in runs if not name.startswith("structures")}

    rows = results_of(home)
    assert {row["run"] for row in rows} == {name for name in runs if not name.startswith("structures")}
    assert len(rows) == 10
    row = next(row for row in rows if (row["method"], row["kd"], row["seed"]) == ("uniform", True, 1))
    trained, found = (
        metrics_of(runs[name]) for name in ("trainings/uniform/0.5/scratch-e+kd/seed1", "structures/uniform/0.5/seed1")
    )
    assert row["test_accuracy"] == trained["test_accuracy"] and row["train_seconds"] == trained["seconds"]
    assert row["flops_ratio"] == trained["flops_ratio"] == found["flops_ratio"]
    assert row["params"] == trained["params"] and row["search_seconds"] == found["seconds"]
    assert (row["training"], row["target"], row["epochs"]) == ("scratch-e", 0.5, 1)
    check_structures(home, runs)
    assert len(list(csv.DictReader((home / "results.csv").read_text(encoding="utf-8").splitlines()))) == 10
    shown = (home / "table.md").read_text(encoding="utf-8")
    assert shown in out and shown in (home / "report.md").read_text(encoding="utf-8")
    measured = metrics_of(Run(home))
    assert measured["runs"] == 14 and measured["machine"]["jobs"] == 1
    assert [one["method"] for one in measured["agreement"]] == ["tas-depth"]
    assert {(one["method"], one["training"]) for one in measured["differences"]} == {
        ("tas-depth", "scratch-e"),
        ("tas-depth", "scratch-e+kd"),
    }
    for picture in ("pareto.png", "curves.png"):
        assert (home / picture).read_bytes().startswith(b"\x89PNG")
    check_goes_on(cli, home, runs, seen, arguments)


def check_structures(home: Path, runs: dict[str, Run]) -> None:
    """structures.json has every network that was found, and the curves of the searches."""
    rows = {row["run"]: row for row in json.loads((home / "structures.json").read_text(encoding="utf-8"))}
    assert set(rows) == {name for name in runs if name.startswith("structures")}
    for name, row in rows.items():
        found = Architecture.load(runs[name].architecture)
        assert (row["widths"], row["depths"]) == (found.widths, found.depths)
        assert row["metrics"] == metrics_of(runs[name]) and row["ranking"] == []
        assert {len(values) for values in row["curves"].values()} == ({1} if row["method"] == "tas-depth" else set())


def check_goes_on(
    cli: Callable, home: Path, runs: dict[str, Run], seen: list[tuple[str, bool]], arguments: list[str]
) -> None:
    """A finished comparison repeats no run, carries out what is asked for in addition, and refuses other options."""
    before = {name: run.metrics.stat().st_mtime_ns for name, run in runs.items()}
    seen.clear()
    more = [{"kd": "init"}.get(argument, argument) for argument in arguments]
    status, out, _ = cli(*more)
    assert status == 0
    assert "14 runs in out, 10 of them finished before" in out
    assert {name: run.metrics.stat().st_mtime_ns for name, run in runs.items()} == before
    added = set(runs_below(home)) - set(runs)
    assert added == {f"trainings/{m}/0.5/init/seed{seed}" for m in ("uniform", "tas-depth") for seed in (0, 1)}
    assert out.count(": begins") == 4
    assert {folder for folder, _ in seen} == {"the command itself", *(f"out/{name}" for name in added)}

    changed = [{"--tolerance": "--lr", "0.2": "0.05"}.get(argument, argument) for argument in arguments]
    status, out, err = cli(*changed)
    assert status == 2 and out == ""
    assert "was made with lr 0.1, which is now 0.05" in err and err.count("\n") == 1


@pytest.mark.parametrize(("module", "name"), [(SearchModule, "structures"), (TrainModule, "trainings")])
def test_a_killed_comparison_goes_on_within_the_run_that_it_was_in(
    module: type, name: str, cli: Callable, interrupt: Callable, tmp_path: Path
) -> None:
    arguments = ["compare", "--methods", "tas-depth", "--search.epochs", "2", *TINY, "--epochs", "2", "--seeds", "0"]
    arguments += ["--output", "out"]
    interrupt(module, 1)
    status, _, err = cli(*arguments)
    assert status == 130
    assert "of 2 runs are finished; the same command goes on" in err
    (stopped,) = (tmp_path / "out" / name).rglob("last.ckpt")
    run = Run(stopped.parents[1])
    assert not run.finished()
    status, _, err = cli(*arguments)
    assert status == 0, err
    assert run.finished() and (tmp_path / "out" / "metrics.json").is_file()
    assert (run.path / "log.txt").read_text(encoding="utf-8").count("code ") == 2
    assert metrics_of(Run(tmp_path / "out" / "trainings/tas-depth/0.5/scratch-e/seed0"))["epochs"] == 2


def test_what_fails_is_named_and_the_rest_goes_on(cli: Callable, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "methods: [tas-bad, tas-depth]\nvariants: {tas-bad: {method: tas-depth, lr: 1.0e+30}}\n", encoding="utf-8"
    )
    arguments = ["compare", "--config", "study.yaml", "--search.epochs", "3", *TINY, "--seeds", "0", "--output", "out"]
    status, out, err = cli(*arguments)
    assert status == 2
    assert "1 of 4 runs failed: tas-bad 0.5, seed 0; the same command tries them again" in err
    assert "tas-bad 0.5, seed 0: FAILED, --lr: the loss is" in out
    assert set(runs_below(tmp_path / "out")) == {
        "structures/tas-depth/0.5/seed0",
        "trainings/tas-depth/0.5/scratch-e/seed0",
    }
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "- tas-bad 0.5 scratch-e, seed 0: needs one of these" in report
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_the_report_has_what_was_measured_of_the_supernets(
    cli: Callable, tmp_path: Path, seen: list[tuple[str, bool]]
) -> None:
    rank = ["--rank", "2", "--rank-epochs", "1"]
    status, out, err = cli("compare", *SEARCHED, *rank, "--training=", "--seeds", "0", "--output", "out")
    assert (status, err) == (0, "")
    assert "[3/3] tas-width 0.5 ranking, seed 0: finished in" in out
    assert not any(folder.startswith("out") and not train for folder, train in seen), "no test image is seen"
    (one,) = metrics_of(Run(tmp_path / "out"))["rank_correlation"]
    assert (one["method"], one["seed"], one["networks"]) == ("tas-width", 0, 2)
    assert one["kendall_tau"] == metrics_of(Run(tmp_path / "out/rankings/tas-width/0.5/seed0"))["kendall_tau"]
    (pooled,) = metrics_of(Run(tmp_path / "out"))["rank_correlation_pooled"]
    assert (pooled["seeds"], pooled["kendall_tau"]) == (1, one["kendall_tau"])
    assert 0 < one["found_accuracy"] < 1 and 0 <= one["found_beats"] <= 2
    (row,) = json.loads((tmp_path / "out" / "structures.json").read_text(encoding="utf-8"))
    assert [judged["widths"].keys() for judged in row["ranking"]] == 3 * [row["widths"].keys()]
    assert row["ranking"][2]["val_accuracy"] == one["found_accuracy"]
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| 0.5 FLOPs | tas-width | 0    | 2        |" in report
    assert f"| {one['found_accuracy']:.2%} | {one['found_beats']} of 2 |" in report
    assert results_of(tmp_path / "out") == [] and not (tmp_path / "out" / "table.md").exists()


RANKED = [
    "--methods",
    "tas-width",
    "tas-8",
    "--variants.tas-8",
    '{"method": "tas-width", "strategy": "gumbel-mixture", "samples": 8}',
    "--seeds",
    "0",
]
RANKED += ["--search.init", "teacher", "--search.epochs", "1", "--rank", "2", "--rank-epochs", "1", "--training="]


def test_a_ranking_goes_on_where_the_directory_and_the_images_were_moved_to(
    cli: Callable, tmp_path: Path, make_folder: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> float:
        raise KeyboardInterrupt

    images = make_folder()
    arguments = ["compare", *RANKED, "--network", "resnet20", "--epochs", "1", "--batch-size", "8", "--data", "folder"]
    with monkeypatch.context() as patched:
        patched.setattr("tas.comparison.ranking.forced_loss", interrupted)
        status, _, err = cli(*arguments, "--data-dir", images, "--output", "out")
    assert status == 130
    assert "3 of 6 runs are finished; the same command goes on" in err
    images.rename(tmp_path / "moved")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    status, out, err = cli(*arguments, "--data-dir", tmp_path / "moved", "--output", "elsewhere")
    assert (status, err) == (0, ""), err
    assert out.count("network 1 of 2") == 0 and out.count("begins") == 3
    runs = runs_below(tmp_path / "elsewhere")
    assert sum(name.startswith("alone/") for name in runs) == 1, "both searches are held against the same networks"
    ranked = metrics_of(Run(tmp_path / "elsewhere"))["rank_correlation"]
    assert [(one["method"], one["networks"]) for one in ranked] == [("tas-width", 2), ("tas-8", 2)]
    assert ranked[0]["accuracy_mean"] == ranked[1]["accuracy_mean"]


def test_networks_are_compared_at_equal_parameters(cli: Callable, tmp_path: Path) -> None:
    methods = ["--methods", "uniform", "tas", "--params-targets", "0.5", "--seeds", "0", "--search.epochs", "3"]
    status, out, err = cli("compare", *methods, *TINY, "--output", "out")
    assert (status, err) == (0, "")
    assert re.search(r"tas params-0.5, seed 0: (49|50)[.0-9]+% of the parameters in", out)
    found = [row for row in results_of(tmp_path / "out") if row["method"] != "unpruned"]
    assert [(row["method"], row["measure"], row["target"], row["target_met"]) for row in found] == [
        ("uniform", "params", 0.5, True),
        ("tas", "params", 0.5, True),
    ]
    for row in found:
        training = Run(tmp_path / "out" / f"trainings/{row['method']}/params-0.5/scratch-e/seed0")
        assert row["params_ratio"] == metrics_of(training)["params_ratio"] == pytest.approx(0.5, rel=0.02)
        assert row["params"] == sum(weights.numel() for weights in weights_of(training))
    structures = json.loads((tmp_path / "out" / "structures.json").read_text(encoding="utf-8"))
    assert [set(row["curves"]) for row in structures] == [
        set(),
        {"params/expected_ratio", "params/derived_ratio", "confidence/mean"},
    ]
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| 0\.5 parameters \| .* M \((?:49|50)[.0-9]+%\) ", report, re.MULTILINE)) == 2
    assert "- parameters 0.5, scratch-e: tas is " in report


def weights_of(run: Run) -> list[Tensor]:
    """The trained numbers of a finished run, without the statistics of its norms."""
    kept = load_file(run.weights)
    return [tensor for name, tensor in kept.items() if "running" not in name and "num_batches" not in name]


def test_zeroed_weights_stand_apart(cli: Callable, tmp_path: Path) -> None:
    methods = ["--methods", "uniform", "unstructured", "--training", "scratch-e", "finetune", "--seeds", "0"]
    status, out, err = cli("compare", *methods, *TINY, "--output", "out")
    assert status == 0, err
    assert out.startswith("unstructured is not trained scratch-e")
    assert [row["flops_ratio"] for row in results_of(tmp_path / "out") if row["method"] == "unstructured"] == [
        pytest.approx(0.5, rel=0.02)
    ]
    first, second = (tmp_path / "out" / "table.md").read_text(encoding="utf-8").split("Single weights set to zero")
    assert "unstructured" not in first and "uniform" not in second
    assert metrics_of(Run(tmp_path / "out"))["differences"] == []


def test_training_for_the_same_compute_takes_more_epochs(cli: Callable, tmp_path: Path) -> None:
    status, _, err = cli(
        "compare", "--training", "scratch-b", *SEARCHED, "--seeds", "0", "--epochs", "3", "--output", "out"
    )
    assert status == 0, err
    (row,) = results_of(tmp_path / "out")
    assert row["epochs"] == round(3 / row["flops_ratio"]) == 6


@pytest.mark.slow
@pytest.mark.parametrize("where", [["--jobs", "2"], ["--ray", "local"]], ids=["processes", "ray"])
def test_runs_at_once_end_as_runs_one_after_another(
    where: list[str], cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "--ray" in where:
        pytest.importorskip("ray")
        monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 2}')
    arguments = ["compare", "--methods", "tas-depth", "--search.epochs", "1", *TINY, "--seeds", "0", "1"]
    assert cli(*arguments, "--output", "one")[0] == 0
    status, out, err = cli(*arguments, *where, "--output", "several")
    assert (status, err) == (0, "")
    first, second = out.index("tas-depth 0.5, seed 1: begins"), out.index("tas-depth 0.5, seed 0: 5")
    assert first < second, "both begin before one ends"
    accuracies = [[row["test_accuracy"] for row in results_of(tmp_path / name)] for name in ("one", "several")]
    assert accuracies[0] == accuracies[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--output is missing"),
        (["--methods", "tass", "--output", "out"], "--methods is tass; allowed: tas, tas-width"),
        (
            ["--methods", "tas", "tas", "--output", "out"],
            "--methods is tas, tas; allowed: one value or more, each once",
        ),
        (["--training", "kd", "scratch-e+kd", "--output", "out"], "--training is kd,scratch-e+kd; allowed: either"),
        (["--flops-targets", "0.5", "1.5", "--output", "out"], "--flops-targets is 1.5; allowed: a share above 0"),
        (["--params-targets", "2", "--output", "out"], "--params-targets is 2.0; allowed: a share above 0"),
        (["--flops-targets", "x", "--output", "out"], "--flops-targets is x; allowed: a share above 0"),
        (["--flops-targets", "0.5", "1G", "--output", "out"], "--flops-targets 1G: resnet20 has 2,532,992 FLOPs"),
        (["--rank", "1", "--output", "out"], "--rank is 1; allowed: 0, or 2 and more"),
        (["--rank", "2", "--ranked", "l1", "--output", "out"], "--ranked is l1; allowed: tas, tas-width, tas-depth"),
        (["--devices", "2", "--output", "out"], "--devices and --num-nodes: every run of a comparison takes one"),
        (["--weights", "w.pt", "--output", "out"], "--weights w.pt"),
        (["--search.recipe", "papre", "--output", "out"], "--search: no recipe 'papre', did you mean 'paper'?"),
        (["--seeds", "-1", "--output", "out"], "--seeds is -1; allowed: 0 to 4294967295 each"),
        (["--network", "resnet21", "--output", "out"], "--network: "),
        (["--data", "digit", "--output", "out"], "--data: unknown data set 'digit'"),
        (["--search.epoch", "3", "--output", "out"], "--search: 'epoch' is not an option of tas search"),
        (["--jobs", "2", "--ray", "local", "--output", "out"], "--jobs and --ray exclude each other"),
        (["--job-gpus", "1", "--output", "out"], "--job-cpus and --job-gpus go with --ray"),
        (
            ["--search", "3", "--output", "out"],
            "--search is 3; expected: options and their values such as {epochs: 20}",
        ),
        (["--variants.a", "3", "--output", "out"], "--variants is {a: 3}; expected: names and their options such as"),
        (["--teacher-epochs", "x", "--output", "out"], "--teacher-epochs is x; expected: a whole number"),
        (["--resume", "out"], "--resume: repeat the command as it was"),
        (["--output", "taken"], "--output taken: holds something else than a comparison"),
    ],
)
def test_wrong_input_is_refused_before_anything_runs(
    arguments: list[str], message: str, refused: Callable, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.yaml").write_text("method: uniform\n", encoding="utf-8")
    assert f"tas compare: error: {message}" in refused("compare", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_method_is_held_against_random_networks_of_what_it_may_change() -> None:
    original = open_original(Source(network="resnet20"), 10, (3, 16, 16))
    full = original.full
    _, job = list_jobs(CompareOptions.of(methods=("sss",), seeds=(0,), training=(), output="out"))
    shallow = replace(full, depths={**full.depths, "stage1": 1})
    thin = replace(full, widths={name: channels // 2 for name, channels in full.widths.items()})
    for network, of_widths, of_depths in ((shallow, 1, 3), (thin, 8, 1)):
        space = space_for(job, original, [full, network])
        assert {len(choices) for choices in space.widths.values()} == {of_widths}
        assert {len(choices) for choices in space.depths.values()} == {of_depths}
        assert set(space.widths) < set(full.widths), "tied, as pruning ties them"
