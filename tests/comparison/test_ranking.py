"""Random networks trained alone, and a search's supernet held against them."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import kendalltau

from tas.architecture import Architecture
from tas.comparison import ranking as module
from tas.comparison.jobs import Job, list_jobs
from tas.comparison.perform import perform_job
from tas.comparison.rank_correlation import rank_correlations
from tas.comparison.ranking import alone_networks, judged_networks
from tas.config import CompareOptions
from tas.cost.measures import FLOPS
from tas.runs.results import AloneResult, RankingResult
from tests.spaces import plan_of


def jobs_in(home: Path) -> dict[str, Job]:
    """Kind of a job -> the job, of a comparison of one search."""
    options = CompareOptions.of(
        methods=("tas-width",),
        seeds=(0,),
        training=(),
        search={"epochs": 1},
        rank=3,
        rank_epochs=3,
        train_images=200,
        batch_size=32,
        accelerator="cpu",
        output=str(home),
    )
    return {job.kind: job for job in list_jobs(options)}


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a comparison of which all runs are finished."""
    home = tmp_path_factory.mktemp("ranked") / "out"
    for job in jobs_in(home).values():
        assert perform_job(job) is None
    return home


@pytest.fixture
def again(ranked: Path, tmp_path: Path) -> dict[str, Job]:
    """The jobs of a copy of it."""
    shutil.copytree(ranked, tmp_path / "again")
    return jobs_in(tmp_path / "again")


def interrupted_at(number: int, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ctrl-C at the call of that number of a function in the module; returns the numbers of the calls."""
    function, calls = getattr(module, name), list[int]()

    def called(*arguments: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == number:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(module, name, called)
    return calls


def test_random_networks_inside_the_budget_are_trained_alone(ranked: Path) -> None:
    job = jobs_in(ranked)["alone"]
    plan, trained = plan_of("resnet20", 10, 1, 8), alone_networks(job.run).entries
    full = Architecture("resnet20", 10, 1, 8, plan.widths, plan.depths())
    assert len(trained) == 3 and len({str(one.widths) for one in trained}) == 3
    for one in trained:
        assert 0 <= one.val_accuracy <= 1 and one.depths == full.depths
        share = FLOPS.exact(plan, full.with_counts(one.widths, one.depths)) / FLOPS.exact(plan, full)
        assert share == pytest.approx(0.5, rel=0.02)
    assert AloneResult.read(job.run) == AloneResult(networks=3)


def test_a_ranking_holds_both_judgements_of_them_and_of_the_found_network(ranked: Path) -> None:
    jobs = jobs_in(ranked)
    run, trained = jobs["ranking"].run, alone_networks(jobs["alone"].run).entries
    *others, own = judged_networks(run).entries
    assert [(one.val_accuracy, one.widths, one.depths) for one in others] == [
        (one.val_accuracy, one.widths, one.depths) for one in trained
    ]
    found = Architecture.load(jobs["structure"].run.architecture)
    assert (own.widths, own.depths) == (found.widths, found.depths)
    assert len({one.supernet_loss for one in (*others, own)}) == 4
    result, accuracies = RankingResult.read(run), [one.val_accuracy for one in others]
    assert (result.ranked, result.found_accuracy) == (3, own.val_accuracy)
    assert result.found_beats == sum(accuracy < own.val_accuracy for accuracy in accuracies)
    assert (result.ranked_accuracy_mean, result.ranked_accuracy_best) == (
        pytest.approx(sum(accuracies) / 3), max(accuracies)
    )  # fmt: skip
    assert len(set(accuracies)) > 1
    tau = kendalltau([-one.supernet_loss for one in others], accuracies)
    assert (result.kendall_tau, result.kendall_p_value) == pytest.approx((tau.statistic, tau.pvalue))
    assert result.scores_tau is not None and -1 <= result.scores_tau <= 1
    assert (run.path / "ranking.png").stat().st_size > 5000
    (one,) = rank_correlations(jobs.values())
    assert (one.method, one.measure, one.target, one.networks) == ("tas-width", "flops", 0.5, 3)
    assert (one.kendall_tau, one.found_accuracy) == (result.kendall_tau, result.found_accuracy)


def test_networks_go_on_after_the_last_that_was_trained(
    ranked: Path, again: dict[str, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = again["alone"]
    shutil.rmtree(job.path)
    calls = interrupted_at(2, "train_apart", monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        perform_job(job)
    assert len(alone_networks(job.run).entries) == 1 and not job.run.finished()
    assert perform_job(job) is None
    assert len(calls) == 4, "one network is trained twice"
    assert alone_networks(job.run).entries == alone_networks(jobs_in(ranked)["alone"].run).entries


@pytest.mark.parametrize(("name", "number", "kept"), [("forced_loss", 3, 2), ("train_apart", 1, 3)])
def test_a_ranking_goes_on_after_the_last_that_was_judged(
    name: str, number: int, kept: int, ranked: Path, again: dict[str, Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = again["ranking"]
    shutil.rmtree(job.path)
    calls = interrupted_at(number, name, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        perform_job(job)
    assert len(judged_networks(job.run).entries) == kept and not job.run.finished()
    assert perform_job(job) is None
    assert len(calls) == (5 if name == "forced_loss" else 2)
    # To the last bit as one that was never interrupted.
    unbroken = jobs_in(ranked)["ranking"].run
    assert [asdict(one) for one in judged_networks(job.run).entries] == [
        asdict(one) for one in judged_networks(unbroken).entries
    ]
    assert RankingResult.read(job.run) == RankingResult.read(unbroken)
