from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tas.architecture import Architecture
from tas.comparison import perform as work
from tas.comparison.jobs import Job, list_jobs
from tas.comparison.perform import check_same_networks, check_unchanged, commits_of, note_commit
from tas.comparison.rows import read_rows
from tas.config import CompareOptions
from tas.errors import TasError
from tas.runs.lock import locked
from tas.runs.run import Run
from tests.spaces import unpruned

FULL = unpruned("resnet20", 10)
METRICS = '{"flops_ratio": %s, "target_met": true, "test_accuracy": 0.5, "params": 7, "epochs": 1, "seconds": 2}'


def jobs_in(home: Path, **options: Any) -> list[Job]:
    """Teacher, structure and taught training of one seed."""
    return list_jobs(CompareOptions.of(methods=("l1",), training=("kd",), seeds=(0,), output=str(home), **options))


def begun(job: Job, change: Callable[[dict[str, Any]], object] = lambda saved: None) -> Job:
    """The job with its config.yaml, changed, in its folder."""
    job.path.mkdir(parents=True)
    saved = asdict(job.options)
    change(saved)
    job.run.config.write_text(yaml.safe_dump(saved), encoding="utf-8")
    return job


def finish(job: Job, architecture: Architecture, flops_ratio: float) -> None:
    job.path.mkdir(parents=True, exist_ok=True)
    architecture.save(job.run.architecture)
    job.run.metrics.write_text(METRICS % flops_ratio, encoding="utf-8")


def test_runs_may_be_moved_and_carried_out_elsewhere(tmp_path: Path) -> None:
    for job in jobs_in(tmp_path / "old"):
        begun(job)
    (tmp_path / "old").rename(tmp_path / "new")
    for job in jobs_in(tmp_path / "new", data_dir="elsewhere", workers=3, accelerator="cpu"):
        check_unchanged(job)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16-mixed"}, "was made with precision 32-true, which is now bf16-mixed"),
        ({"lr": 0.05}, "was made with lr 0.1, which is now 0.05"),
        ({"data": "cifar10"}, "was made with data digits, which is now cifar10"),
    ],
)
def test_another_recipe_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    begun(jobs_in(tmp_path)[-1])
    with pytest.raises(TasError, match=message):
        check_unchanged(jobs_in(tmp_path, **options)[-1])


def test_other_teachers_are_another_recipe(tmp_path: Path) -> None:
    job = begun(jobs_in(tmp_path)[-1])
    other = replace(job.options, teacher=(*job.options.teacher, str(tmp_path / "teacher/seed1")))  # type: ignore
    with pytest.raises(TasError, match="was made with teacher"):
        check_unchanged(replace(job, options=other))


def test_an_option_that_an_older_version_did_not_know_had_its_default(tmp_path: Path) -> None:
    job = begun(jobs_in(tmp_path)[-1], lambda saved: saved.pop("hints"))
    check_unchanged(job)
    with pytest.raises(TasError, match=r"was made with hints 0.0, which is now 0.5"):
        check_unchanged(jobs_in(tmp_path, train={"hints": 0.5})[-1])


def test_options_that_a_method_does_not_read_may_change(tmp_path: Path) -> None:
    job = begun(jobs_in(tmp_path)[1], lambda saved: saved.update(sparsity_weight=0.001, candidates=3))
    check_unchanged(job)
    slimming = replace(job.options, method="slimming")  # type: ignore[call-arg]
    job.run.config.write_text(yaml.safe_dump(asdict(slimming) | {"sparsity_weight": 0.5}), encoding="utf-8")
    with pytest.raises(TasError, match=r"was made with sparsity_weight 0.5"):
        check_unchanged(replace(job, options=slimming))


def test_how_networks_are_ranked_may_change_where_none_are(tmp_path: Path) -> None:
    def search(**options: Any) -> Job:
        jobs = list_jobs(CompareOptions.of(methods=("tas",), seeds=(0,), output=str(tmp_path), search=options))
        return next(job for job in jobs if job.kind == "structure")

    job = begun(search(rank_epochs=5))
    check_unchanged(search(rank_epochs=10))
    job.run.config.write_text(yaml.safe_dump(asdict(search(rank=2, rank_epochs=5).options)), encoding="utf-8")
    with pytest.raises(TasError, match="was made with rank_epochs 5, which is now 10"):
        check_unchanged(search(rank=2, rank_epochs=10))


def test_a_training_of_another_network_than_its_structure_is_refused(tmp_path: Path) -> None:
    _, structure, training = jobs_in(tmp_path)
    finish(structure, FULL, 1.0)
    finish(training, FULL, 1.0)
    check_same_networks([structure, training])
    name = next(iter(FULL.depths))
    finish(structure, replace(FULL, depths={**FULL.depths, name: 1}), 0.7)
    with pytest.raises(TasError, match="trained another network than"):
        check_same_networks([structure, training])
    assert read_rows([structure, training], tmp_path)[0].flops_ratio == 1.0
    structure.run.metrics.unlink()
    check_same_networks([structure, training])
    assert read_rows([structure, training], tmp_path) == []


def test_the_commits_of_a_run_are_all_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    assert commits_of(run) == "unknown"
    for code in ("abc", "abc", "tas 0.1"):
        monkeypatch.setattr(work, "CODE", code)
        note_commit(run)
    assert (tmp_path / "commit.txt").read_text(encoding="utf-8") == "abc\ntas 0.1\n"
    assert commits_of(run) == "abc, tas 0.1"


def test_a_directory_is_one_processs_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "out"
    with locked(home), pytest.raises(TasError, match="another tas compare works on it"), locked(home):
        pass
    with locked(home):
        pass
