from pathlib import Path
from typing import Any

import pytest

from tas.comparison.jobs import Job, list_jobs, remarks
from tas.config import CompareOptions, PruneOptions, SearchOptions, TrainOptions
from tas.errors import TasError


def asked(**options: Any) -> CompareOptions:
    return CompareOptions.of(**({"methods": ("uniform", "tas"), "seeds": (0,), "output": "dir"} | options))


def jobs_of(**options: Any) -> dict[str, Job]:
    """Folder inside the comparison's -> the job."""
    return {str(job.path.relative_to("dir")): job for job in list_jobs(asked(**options))}


def test_every_method_target_training_and_seed_has_its_folder() -> None:
    jobs = jobs_of(training=("scratch-e", "kd"), flops_targets=(0.3, 0.5), seeds=(0, 7))
    expected = {f"teacher/seed{seed}" for seed in (0, 7)}
    for method in ("uniform", "tas"):
        for target in ("0.3", "0.5"):
            for seed in (0, 7):
                expected.add(f"structures/{method}/{target}/seed{seed}")
                expected |= {f"trainings/{method}/{target}/{way}/seed{seed}" for way in ("scratch-e", "scratch-e+kd")}
    assert set(jobs) == expected
    assert len({job.name for job in jobs.values()}) == len(jobs)
    assert all(job.options.seed == job.seed and job.options.output == str(job.path) for job in jobs.values())


def test_a_job_comes_after_those_it_needs() -> None:
    options = asked(
        methods=("l1", "tas", "unstructured"), training=("init", "init+kd", "finetune", "scratch-b"), seeds=(0, 1)
    )
    seen: set[Path] = set()
    for job in list_jobs(options):
        assert seen.issuperset(job.needs)
        seen.add(job.path)


def test_a_search_from_fresh_weights_and_its_plain_training_need_no_teacher() -> None:
    jobs = jobs_of(methods=("tas",))
    assert [job.kind for job in jobs.values()] == ["structure", "training"]
    assert jobs["structures/tas/0.5/seed0"].needs == ()


def test_a_search_that_starts_from_trained_weights_takes_the_teachers() -> None:
    jobs = jobs_of(methods=("tas",), search={"init": "teacher"})
    structure = jobs["structures/tas/0.5/seed0"]
    assert structure.options.weights == "dir/teacher/seed0" and structure.needs == (Path("dir/teacher/seed0"),)


def test_searches_that_rank_the_same_networks_train_them_once() -> None:
    variants = {
        "tas-8": {"method": "tas", "samples": 8, "lr": 0.02},
        "tas-free": {"method": "tas", "residuals": "free"},
        "tas-blind": {"method": "tas", "rank": 0},
    }
    jobs = jobs_of(methods=("tas", *variants), variants=variants, search={"rank": 20}, seeds=(0, 1))
    taken = {name: job.options.rank_from for name, job in jobs.items() if job.kind == "structure"}
    assert {name: other for name, other in taken.items() if other} == {
        f"structures/tas-8/0.5/seed{seed}": f"dir/structures/tas/0.5/seed{seed}" for seed in (0, 1)
    }
    assert jobs["structures/tas-8/0.5/seed1"].needs == (Path("dir/structures/tas/0.5/seed1"),)
    assert jobs["structures/tas-free/0.5/seed1"].needs == ()


def test_without_trainings_there_are_structures_alone() -> None:
    assert [job.kind for job in list_jobs(asked(methods=("tas", "tas-depth"), training=()))] == ["structure"] * 2


@pytest.mark.parametrize(
    ("method", "training", "init", "kd", "teacher"),
    [
        ("tas", "scratch-e", "scratch", False, False),
        ("tas", "kd", "scratch", True, True),
        ("tas", "scratch-b+kd", "scratch", True, True),
        ("tas", "finetune", "inherited", False, False),
        ("tas", "init", "inherited", False, False),
        ("tas-width", "init+kd", "inherited", True, True),
        ("uniform", "finetune", "inherited", False, False),
        ("uniform", "init", "teacher", False, True),
        ("l1", "init+kd", "teacher", True, True),
    ],
)
def test_how_a_training_starts_and_who_teaches_it(
    method: str, training: str, init: str, kd: bool, teacher: bool
) -> None:
    job = list_jobs(asked(methods=(method,), training=(training,)))[-1]
    options = job.options
    assert isinstance(options, TrainOptions)
    assert (options.init, options.kd) == (init, kd)
    assert options.teacher == (("dir/teacher/seed0",) if teacher else ())
    assert options.architecture == f"dir/structures/{method}/0.5/seed0"


def test_fine_tuning_takes_a_share_of_the_learning_rate() -> None:
    job = list_jobs(asked(methods=("tas",), training=("finetune",), lr=0.2, finetune_lr_factor=0.05))[-1]
    assert job.options.lr == pytest.approx(0.01)


@pytest.mark.parametrize(("method", "searched"), [("tas", "both"), ("tas-width", "width"), ("tas-depth", "depth")])
def test_the_searches_differ_in_what_they_search(method: str, searched: str) -> None:
    options = list_jobs(asked(methods=(method,)))[0].options
    assert isinstance(options, SearchOptions)
    assert (options.search, options.tolerance, options.flops_target) == (searched, 0.02, 0.5)


def test_a_variant_is_its_method_with_other_options_and_counts_as_it() -> None:
    jobs = jobs_of(
        methods=("tas", "tas-8"),
        training=("init",),
        search={"epochs": 3, "arch-lr": 0.5},
        variants={"tas-8": {"method": "tas-width", "samples": 8, "epochs": 4}},
    )
    plain, varied = (jobs[f"structures/{name}/0.5/seed0"].options for name in ("tas", "tas-8"))
    assert isinstance(plain, SearchOptions) and isinstance(varied, SearchOptions)
    assert (plain.samples, plain.epochs, plain.search, plain.arch_lr) == (2, 3, "both", 0.5)
    assert (varied.samples, varied.epochs, varied.search, varied.arch_lr) == (8, 4, "width", 0.5)
    assert jobs["trainings/tas-8/0.5/init/seed0"].options.init == "inherited"


def test_prunings_start_from_the_teacher_of_their_seed() -> None:
    jobs = jobs_of(methods=("l1",), seeds=(3,), prune={"epochs": 2}, teacher_epochs=9)
    options = jobs["structures/l1/0.5/seed3"].options
    assert isinstance(options, PruneOptions)
    assert (options.method, options.weights, options.epochs) == ("l1", "dir/teacher/seed3", 2)
    assert jobs["teacher/seed3"].options.epochs == 9


def test_the_recipe_is_everybodys_and_the_sections_override_it() -> None:
    jobs = jobs_of(training=("kd",), batch_size=32, epochs=5, search={"batch_size": 16}, train={"kd_alpha": 0.5})
    assert jobs["structures/tas/0.5/seed0"].options.batch_size == 16
    assert jobs["structures/uniform/0.5/seed0"].options.batch_size == 32
    training, teacher = jobs["trainings/tas/0.5/scratch-e+kd/seed0"].options, jobs["teacher/seed0"].options
    assert (training.batch_size, training.epochs, training.kd_alpha) == (32, 5, 0.5)
    assert (teacher.batch_size, teacher.epochs) == (32, 5)
    assert all(job.options.devices == "1" for job in jobs.values())


def test_options_of_distillation_go_to_taught_trainings_alone() -> None:
    jobs = jobs_of(methods=("tas",), training=("scratch-e", "kd"), train={"attention_transfer": 1000.0})
    assert jobs["trainings/tas/0.5/scratch-e+kd/seed0"].options.attention_transfer == 1000.0
    assert jobs["trainings/tas/0.5/scratch-e/seed0"].options.attention_transfer == 0.0


def test_single_zeroed_weights_are_fine_tuned_alone_and_that_is_said() -> None:
    options = asked(methods=("unstructured",), training=("scratch-e", "finetune", "finetune+kd"))
    trainings = [job for job in list_jobs(options) if job.kind == "training"]
    assert [job.training for job in trainings] == ["finetune", "finetune+kd"]
    assert all(job.options.keep_zeros for job in trainings)
    (line,) = remarks(options)
    assert "unstructured is not trained scratch-e" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"methods": ("uniform",), "search": {"epochs": 3}}, ["--search is not read: no method is a search"]),
        ({"methods": ("tas",), "prune": {"epochs": 3}}, ["--prune is not read: all methods are searches"]),
        ({"train": {"kd_alpha": 0.5}}, ["--train.kd-alpha is not read: no --training has +kd"]),
        ({"train": {"kd_alpha": 0.5}, "training": ("init+kd",)}, []),
        ({"train": {"compile": True}, "training": ()}, ["--train is not read: nothing is trained"]),
        ({"finetune_lr_factor": 0.5}, ["--finetune-lr-factor is not read: no --training is finetune"]),
        ({"finetune_lr_factor": 0.5, "training": ("finetune",)}, []),
    ],
)
def test_what_no_run_reads_is_said(options: dict[str, Any], said: list[str]) -> None:
    assert remarks(asked(**options)) == said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": {"epoch": 3}}, "--search: 'epoch' is not an option of tas search, did you mean 'epochs'?"),
        ({"search": {"epochs": "few"}}, "--search, for tas: --epochs is few; expected: a whole number"),
        ({"search": {"samples": 99}}, "--search, for tas: --samples is 99"),
        ({"search": {"seed": 1}}, "--search: seed is not to be given here"),
        ({"prune": {"method": "l1"}}, "--prune: method is not to be given here"),
        ({"train": {"epochs": 3}}, "--train: epochs is not to be given here"),
        ({"train": {"kd_alpha": 3.0}, "training": ("kd",)}, "--train: --kd-alpha is 3.0"),
        (
            {"methods": ("a",), "variants": {"a": {"method": "tas", "sample": 8}}},
            "--variants a: 'sample' is not an option of tas search, did you mean 'samples'?",
        ),
        # No run takes these, but they are mistakes all the same.
        ({"methods": ("uniform",), "search": {"epoch": 3}}, "--search: 'epoch' is not an option of tas search"),
        ({"methods": ("tas",), "prune": {"epoch": 3}}, "--prune: 'epoch' is not an option of tas prune"),
        ({"variants": {"a": {"method": "l1", "epoch": 3}}}, "--variants a: 'epoch' is not an option of tas prune"),
        ({"methods": ("random",), "prune": {"blocks": 2}}, "--prune, for random: --blocks goes with --method uniform"),
    ],
)
def test_a_wrong_option_for_the_runs_is_refused_by_section_and_key(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TasError) as error:
        list_jobs(asked(**options))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_several_teachers_are_those_of_the_next_seeds_in_turn() -> None:
    options = asked(methods=("tas",), training=("scratch-e", "kd", "init+kd"), seeds=(3, 5, 8), teachers=2)
    jobs = list_jobs(options)
    teachers = {
        job.seed: job.options.teacher
        for job in jobs
        if isinstance(job.options, TrainOptions) and job.training == "scratch-e+kd"
    }
    assert teachers == {
        3: ("dir/teacher/seed3", "dir/teacher/seed5"),
        5: ("dir/teacher/seed5", "dir/teacher/seed8"),
        8: ("dir/teacher/seed8", "dir/teacher/seed3"),
    }
    seen: set[Path] = set()
    for job in jobs:
        assert seen.issuperset(job.needs) and job.path not in seen
        assert set(map(Path, getattr(job.options, "teacher", ()))) <= set(job.needs)
        seen.add(job.path)


def test_weights_come_from_the_first_of_several_teachers_alone() -> None:
    jobs = jobs_of(methods=("l1",), training=("init", "kd"), seeds=(0, 1), teachers=2)
    assert jobs["trainings/l1/0.5/init/seed1"].options.teacher == ("dir/teacher/seed1",)  # type: ignore[attr-defined]


def test_what_narrows_the_searches_alone_is_said() -> None:
    (line,) = remarks(
        asked(search={"round-to": 8, "samples": 3}, variants={"b": {"method": "tas", "ratios": [0.5, 1]}})
    )
    assert line.startswith("--round-to of the searches")
    assert not remarks(asked(methods=("tas", "tas-depth"), search={"round_to": 8}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variants": {"unpruned": {"method": "tas"}}}, "--variants: 'unpruned' cannot be a name"),
        ({"flops_targets": (0.5, 0.50000001)}, "--flops-targets is 0.5, 0.5; allowed: one value or more, each once"),
        ({"teachers": 2, "training": ("kd",)}, "--teachers is 2; allowed: 1 to the 1 --seeds"),
        ({"teachers": 2, "seeds": (0, 1)}, "--teachers goes with a --training with +kd"),
    ],
)
def test_what_would_mix_runs_or_do_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TasError) as error:
        asked(**options)
    assert str(error.value).startswith(message)


def test_an_unpruned_network_with_its_librarys_weights_is_not_from_scratch() -> None:
    options = {"methods": ("l1",), "network": "torchvision/resnet18"}
    assert jobs_of(**options)["teacher/seed0"].training == "scratch-e"
    assert jobs_of(**options, pretrained=True)["teacher/seed0"].training == "pretrained"
