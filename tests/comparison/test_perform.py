import json
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
from tas.comparison.structures import read_structures
from tas.config import CompareOptions
from tas.errors import TasError
from tas.runs.lock import locked
from tas.runs.run import Run, plain
from tas.search.ranking import Judged
from tests.results import prune_result, train_result
from tests.spaces import unpruned

FULL = unpruned("resnet20", 10)


def jobs_in(home: Path, **options: Any) -> list[Job]:
    """Teacher, structure and taught training of one seed."""
    return list_jobs(CompareOptions.of(methods=("l1",), training=("kd",), seeds=(0,), output=str(home), **options))


def begun(job: Job, change: Callable[[dict[str, Any]], object] = lambda saved: None) -> Job:
    """The job with its config.yaml, changed, in its folder."""
    job.path.mkdir(parents=True)
    saved = plain(job.options.flat())
    change(saved)
    job.run.config.write_text(yaml.safe_dump(saved), encoding="utf-8")
    return job


def finish(job: Job, architecture: Architecture, flops_ratio: float) -> None:
    job.path.mkdir(parents=True, exist_ok=True)
    architecture.save(job.run.architecture)
    result = train_result if job.kind == "training" else prune_result
    result(flops_ratio=flops_ratio).write(job.run)


def test_runs_may_be_moved_and_carried_out_elsewhere(tmp_path: Path) -> None:
    def jobs(name: str, **options: Any) -> list[Job]:
        own = {"methods": ("l1", "tas"), "training": ("kd",), "search": {"init": "teacher"}, "rank": 2}
        return list_jobs(CompareOptions.of(seeds=(0,), output=str(tmp_path / name), **own, **options))

    before = [begun(job) for job in jobs("old")]
    assert {job.kind for job in before} == {"teacher", "structure", "training", "alone", "ranking"}
    (tmp_path / "old").rename(tmp_path / "new")
    for job in jobs("new", data_dir="elsewhere", workers=3, accelerator="cpu"):
        assert job.run.config.is_file()
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
    other = job.options.changed(teacher=(*job.options.flat()["teacher"], str(tmp_path / "teacher/seed1")))
    with pytest.raises(TasError, match="was made with teacher"):
        check_unchanged(replace(job, options=other))


def test_an_option_that_an_older_version_did_not_know_had_its_default(tmp_path: Path) -> None:
    job = begun(jobs_in(tmp_path)[-1], lambda saved: saved.pop("hints"))
    check_unchanged(job)
    with pytest.raises(TasError, match=r"was made with hints 0.0, which is now 0.5"):
        check_unchanged(jobs_in(tmp_path, train={"hints": 0.5})[-1])


def test_options_that_a_method_does_not_read_may_change(tmp_path: Path) -> None:
    def pruning(method: str, **prune: Any) -> Job:
        options = CompareOptions.of(methods=(method,), seeds=(0,), output=str(tmp_path), prune=prune)
        return next(job for job in list_jobs(options) if job.kind == "structure")

    begun(pruning("l1", sparsity_weight=0.001, candidates=3))
    check_unchanged(pruning("l1"))
    begun(pruning("slimming", sparsity_weight=0.5, candidates=3))
    with pytest.raises(TasError, match=r"was made with sparsity_weight 0.5"):
        check_unchanged(pruning("slimming"))
    check_unchanged(pruning("slimming", sparsity_weight=0.5))


def test_how_networks_are_ranked_may_change_where_none_are(tmp_path: Path) -> None:
    def jobs(**options: Any) -> list[Job]:
        return list_jobs(CompareOptions.of(methods=("tas",), seeds=(0,), output=str(tmp_path), **options))

    for job in jobs(rank_epochs=5):
        begun(job)
    for job in jobs(rank_epochs=10, rank_lr=0.2, rank=2):
        check_unchanged(job)
    alone, ranking = (job for job in jobs(rank=2, rank_epochs=5) if job.kind in ("alone", "ranking"))
    begun(alone)
    for changed, said in (
        ({"rank": 2, "rank_epochs": 10}, "rank_epochs 5, which is now 10"),
        ({"rank": 3, "rank_epochs": 5}, "rank 2, which is now 3"),
    ):
        with pytest.raises(TasError, match=f"alone/.* was made with {said}"):
            check_unchanged(next(job for job in jobs(**changed) if job.kind == "alone"))
    begun(ranking)
    for other in jobs(rank=2, rank_epochs=5, ranked=("tas", "tas-width")):
        check_unchanged(other)


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


def test_a_ranking_of_another_network_than_its_search_is_refused(tmp_path: Path) -> None:
    options = CompareOptions.of(methods=("tas",), seeds=(0,), training=(), rank=2, output=str(tmp_path))
    structure, _, ranking = list_jobs(options)
    finish(structure, FULL, 0.5)
    ranking.path.mkdir(parents=True)
    found = Judged(0.1, 0.9, FULL.widths, FULL.depths)
    other = Judged(0.1, 0.9, FULL.widths, {**FULL.depths, "stage1": 1})
    for kept, last in ((found, other), (other, found)):
        rows = [asdict(one) for one in (kept, last)]
        (ranking.path / "ranking.json").write_text(json.dumps(rows), encoding="utf-8")
        check_same_networks([structure, ranking])  # not finished
        assert read_structures([structure, ranking], tmp_path)[0].ranking == []
    ranking.run.metrics.write_text("{}", encoding="utf-8")
    check_same_networks([structure, ranking])
    assert read_structures([structure, ranking], tmp_path)[0].ranking == rows
    finish(structure, replace(FULL, depths={**FULL.depths, "stage1": 2}), 0.5)
    with pytest.raises(TasError, match=r"ranked another network than .*; delete the folder to rank the present one"):
        check_same_networks([structure, ranking])


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
