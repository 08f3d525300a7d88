"""What a comparison says of what was asked for and has no meaning."""

from typing import Any

import pytest

from tas.comparison.jobs import list_jobs
from tas.comparison.remarks import remarks
from tests.comparison.test_jobs import asked, flat, jobs_of, said_of


def test_single_zeroed_weights_are_fine_tuned_alone_and_that_is_said() -> None:
    options = asked(methods=("unstructured",), training=("scratch-e", "finetune", "finetune+kd"))
    trainings = [job for job in list_jobs(options) if job.kind == "training"]
    assert [job.training for job in trainings] == ["finetune", "finetune+kd"]
    assert all(flat(job)["keep_zeros"] for job in trainings)
    (line,) = remarks(options, list_jobs(options))
    assert "unstructured is not trained scratch-e" in line


def test_single_zeroed_weights_are_no_answer_to_a_target_of_parameters_and_that_is_said() -> None:
    options = {"methods": ("l1", "unstructured"), "training": (), "params_targets": (0.5, 0.3)}
    said = ["unstructured is not run for --params-targets: it leaves all parameters in place"]
    for flops, zeroed in (((), set()), ((0.4,), {"0.4"})):
        jobs = jobs_of(**options, flops_targets=flops)
        assert {job.aim.folder for job in jobs.values() if job.method == "unstructured"} == zeroed
        assert {job.aim.folder for job in jobs.values() if job.method == "l1"} == {"params-0.5", "params-0.3"} | zeroed
        assert said_of(**options, flops_targets=flops) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"methods": ("uniform",), "search": {"epochs": 3}}, ["--search is not read: no method is a search"]),
        ({"methods": ("tas",), "prune": {"epochs": 3}}, ["--prune is not read: all methods are searches"]),
        ({"train": {"kd_alpha": 0.5}}, ["--train.kd-alpha is not read: no --training has +kd"]),
        ({"train": {"kd_alpha": 0.5}, "training": ("init+kd",)}, []),
        (
            {"train": {"compile": True}, "training": (), "methods": ("tas",)},
            ["--train is not read: nothing is trained"],
        ),
        ({"train": {"compile": True}, "training": ()}, []),  # the unpruned network is, for uniform
        ({"prune": {"blocks": 2}}, []),
        (
            {"prune": {"candidates": 3, "epochs": 2, "sparsity-weight": 1.0}, "methods": ("random", "l1")},
            ["--prune.sparsity-weight is not read: it goes with other methods"],
        ),
        ({"rank": 2, "methods": ("l1",)}, ["--rank is not read: no method is a search that is --ranked"]),
        ({"rank": 2, "ranked": ("tas-width",)}, ["--rank is not read: no method is a search that is --ranked"]),
        ({"rank": 2, "ranked": ("tas-width", "tas")}, []),
        (
            {"weights": "w.pt", "methods": ("tas",)},
            ["--pretrained and --weights are not read: no run needs the unpruned network"],
        ),
        ({"weights": "w.pt", "methods": ("tas",), "training": ("kd",)}, []),
        ({"finetune_lr_factor": 0.5}, ["--finetune-lr-factor is not read: no --training is finetune"]),
        ({"finetune_lr_factor": 0.5, "training": ("finetune",)}, []),
    ],
)
def test_what_no_run_reads_is_said(options: dict[str, Any], said: list[str]) -> None:
    assert said_of(**options) == said


def test_what_narrows_the_searches_alone_is_said() -> None:
    few = {"ratios": [0.5, 1.0], "samples": 2}
    (line,) = said_of(search=few, variants={"b": {"method": "tas", "exclude": ["conv1"]}})
    assert line.startswith("--ratios of the searches")
    assert not said_of(methods=("tas", "tas-depth"), search=few)
    # The others have it, too.
    assert not said_of(search={"round-to": 8})
