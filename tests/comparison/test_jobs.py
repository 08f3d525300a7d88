from pathlib import Path
from typing import Any

import pytest

from tas.comparison.jobs import Job, list_jobs
from tas.comparison.methods import check_methods
from tas.comparison.ranking import AloneOptions, RankOptions
from tas.comparison.remarks import remarks
from tas.config import CompareOptions, PruneOptions, SearchOptions, TrainOptions
from tas.errors import TasError


def asked(**options: Any) -> CompareOptions:
    return CompareOptions.of(**({"methods": ("uniform", "tas"), "seeds": (0,), "output": "dir"} | options))


def jobs_of(**options: Any) -> dict[str, Job]:
    """Folder inside the comparison's -> the job."""
    return {str(job.path.relative_to("dir")): job for job in list_jobs(asked(**options))}


def said_of(**options: Any) -> list[str]:
    return remarks(asked(**options), list_jobs(asked(**options)))


def flat(job: Job) -> dict[str, Any]:
    return job.options.flat()


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
    assert all(flat(job)["seed"] == job.seed and flat(job)["output"] == str(job.path) for job in jobs.values())


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
    assert flat(structure)["weights"] == "dir/teacher/seed0" and structure.needs == (Path("dir/teacher/seed0"),)


VARIANTS = {
    # What a search learns by does not matter to the random networks of its space.
    "tas-8": {
        "method": "tas",
        "strategy": "gumbel-mixture",
        "samples": 8,
        "lr": 0.02,
        "epochs": 3,
        "warmup": 0.1,
        "init": "teacher",
    },
    "tas-free": {"method": "tas", "residuals": "free"},
    "tas-few": {"method": "tas", "ratios": [0.5, 1.0]},
    "tas-heavy": {"method": "tas", "weight_decay": 0.01},
}


def rankings_of(**options: Any) -> dict[str, str]:
    """Folder of a ranking -> that of the networks that it takes, of a comparison with variants of which all rank."""
    given = {"methods": ("tas", *VARIANTS), "variants": VARIANTS, "rank": 20} | options
    rankings = [job for job in list_jobs(asked(**given)) if isinstance(job.options, RankOptions)]
    return {str(job.path.relative_to("dir")): str(job.options.alone) for job in rankings}


def test_searches_that_draw_the_same_networks_have_them_trained_once() -> None:
    taken = rankings_of(seeds=(0, 1), flops_targets=(0.3, 0.5))
    every = {
        f"rankings/{name}/{target}/seed{seed}"
        for name in ("tas", *VARIANTS)
        for target in (0.3, 0.5)
        for seed in (0, 1)
    }
    assert set(taken) == every
    for target in (0.3, 0.5):
        for seed in (0, 1):
            tas, eight, *others = (taken[f"rankings/{name}/{target}/seed{seed}"] for name in ("tas", *VARIANTS))
            assert tas == eight and len({tas, *others}) == 4
            assert Path(tas).parts[:2] == ("dir", "alone") and Path(tas).parts[3:] == (f"{target}", f"seed{seed}")
    assert len(set(taken.values())) == 4 * 4
    jobs = jobs_of(methods=("tas", *VARIANTS), variants=VARIANTS, rank=20, seeds=(0, 1), flops_targets=(0.3, 0.5))
    assert {str(job.path) for job in jobs.values() if job.kind == "alone"} == set(taken.values())
    assert len({job.name for job in jobs.values()}) == len(jobs)


def test_which_networks_are_trained_alone_does_not_depend_on_which_searches_ask() -> None:
    taken = rankings_of()
    assert rankings_of(methods=("tas-free", "tas-8", "uniform")) == {
        name: taken[name] for name in ("rankings/tas-free/0.5/seed0", "rankings/tas-8/0.5/seed0")
    }
    assert rankings_of(rank=5, rank_epochs=2, rank_lr=0.05, epochs=3, search={"lr": 0.3}) == taken


def test_random_networks_are_trained_by_the_rates_of_the_ranking() -> None:
    rank = {"rank": 20, "rank_epochs": 7, "rank_lr": 0.03}
    jobs = jobs_of(methods=("tas",), seeds=(3,), lr=0.2, search={"lr": 0.4, "momentum": 0.8}, **rank)
    alone = next(job for job in jobs.values() if job.kind == "alone")
    assert isinstance(alone.options, AloneOptions)
    assert alone.options.ranking.rank == 20
    for job in (alone, jobs["rankings/tas/0.5/seed3"]):
        assert [flat(job)[key] for key in ("epochs", "lr", "momentum", "seed")] == [7, 0.03, 0.8, 3]


def test_a_ranking_needs_the_search_and_the_networks_which_need_nothing() -> None:
    jobs = jobs_of(methods=("uniform", "tas"), rank=20, search={"init": "teacher"})
    ranking = jobs["rankings/tas/0.5/seed0"]
    (alone,) = (job for job in jobs.values() if job.kind == "alone")
    assert ranking.needs == (Path("dir/structures/tas/0.5/seed0"), alone.path) and alone.needs == ()
    assert (flat(ranking)["search"], flat(ranking)["alone"]) == tuple(map(str, ranking.needs))


def test_only_the_searches_that_are_named_are_ranked() -> None:
    assert set(rankings_of(ranked=("tas-free", "tas-width"))) == {"rankings/tas-free/0.5/seed0"}
    assert set(rankings_of(ranked=())) == {f"rankings/{name}/0.5/seed0" for name in ("tas", *VARIANTS)}
    assert rankings_of(rank=0) == {}


def test_targets_of_parameters_have_folders_and_budgets_of_their_own() -> None:
    jobs = jobs_of(flops_targets=(0.5, "40M"), params_targets=(0.5, "1234.5678k"), rank=2)
    given = (("0.5", 0.5, None), ("40M", "40M", None), ("params-0.5", None, 0.5))
    for method in ("uniform", "tas"):
        for name, flops, params in (*given, ("params-1.2345678M", None, "1.2345678M")):
            found = flat(jobs[f"structures/{method}/{name}/seed0"])
            assert (found["flops_target"], found["params_target"], found["tolerance"]) == (flops, params, 0.02)
            training = flat(jobs[f"trainings/{method}/{name}/scratch-e/seed0"])
            assert training["architecture"] == f"dir/structures/{method}/{name}/seed0"
    ranked = {str(job.path.parts[3]): flat(job) for job in jobs.values() if job.kind == "alone"}
    assert {name: (one["flops_target"], one["params_target"]) for name, one in ranked.items()} == {
        "0.5": (0.5, None),
        "40M": ("40M", None),
        "params-0.5": (None, 0.5),
        "params-1.2345678M": (None, "1.2345678M"),
    }
    assert len({job.name for job in jobs.values()}) == len(jobs)


def test_the_target_of_flops_is_a_half_only_where_there_is_no_other() -> None:
    def targets(**options: Any) -> set[str]:
        return {job.aim.folder for job in list_jobs(asked(**options)) if job.kind == "structure"}

    assert targets() == {"0.5"}
    assert targets(params_targets=(0.3,)) == {"params-0.3"}
    assert targets(params_targets=(0.3,), flops_targets=(0.4,)) == {"params-0.3", "0.4"}


@pytest.mark.parametrize("name", ["flops_target", "params_target", "tolerance", "workers", "train_images", "output"])
def test_what_the_comparison_says_of_every_run_no_section_says(name: str) -> None:
    for given in ({"search": {name: 1}}, {"variants": {"a": {"method": "tas", name: 1}}, "methods": ("a",)}):
        with pytest.raises(TasError, match=f"{name} is not to be given here"):
            list_jobs(asked(**given))


def test_a_variant_that_leaves_zeros_is_trained_as_it_can_be() -> None:
    variants = {"light": {"method": "unstructured", "epochs": 3}}
    jobs = jobs_of(methods=("light",), variants=variants, training=("finetune",))
    assert flat(jobs["trainings/light/0.5/finetune/seed0"])["keep_zeros"]


def test_the_options_of_the_machine_are_every_runs() -> None:
    machine = {"workers": 2, "accelerator": "cpu", "devices": "1,", "precision": "bf16-mixed"}
    jobs = jobs_of(methods=("l1", "tas"), rank=2, **machine)
    assert {job.kind for job in jobs.values()} == {"teacher", "structure", "training", "alone", "ranking"}
    for job in jobs.values():
        assert {key: flat(job)[key] for key in machine} == machine


@pytest.mark.parametrize("given", [{"devices": "2"}, {"devices": "auto"}, {"devices": "0,1"}, {"num_nodes": 2}])
def test_a_run_takes_one_device(given: dict[str, Any]) -> None:
    with pytest.raises(TasError, match="--devices and --num-nodes: every run of a comparison takes one device"):
        asked(**given)


def test_weights_that_are_given_are_the_unpruned_networks() -> None:
    jobs = jobs_of(methods=("l1", "tas"), weights="w.pt", training=("kd",))
    assert (flat(jobs["teacher/seed0"])["weights"], jobs["teacher/seed0"].training) == ("w.pt", "pretrained")
    assert flat(jobs["structures/l1/0.5/seed0"])["weights"] == "dir/teacher/seed0"
    assert flat(jobs["structures/tas/0.5/seed0"])["weights"] is None


def test_a_section_or_variant_may_name_a_recipe_and_change_it() -> None:
    variants = {"paper": {"method": "tas", "recipe": "paper", "arch_lr": None, "samples": 3}}
    jobs = jobs_of(methods=("tas", "paper"), variants=variants)
    plain, paper = (flat(jobs[f"structures/{name}/0.5/seed0"]) for name in ("tas", "paper"))
    assert (plain["residuals"], plain["arch_optimizer"]) == ("tied", "sgd")
    assert (paper["residuals"], paper["arch_optimizer"], paper["tau_start"]) == ("free", "adam", 10)
    assert (paper["samples"], paper["arch_lr"], paper["tolerance"]) == (3, None, 0.02)
    assert flat(jobs_of(search={"recipe": "paper"})["structures/tas/0.5/seed0"]) | {"output": None} == paper | {
        "output": None, "samples": 2, "arch_lr": 0.001
    }  # fmt: skip
    with pytest.raises(TasError, match="--prune: the recipe paper has options for"):
        list_jobs(asked(prune={"recipe": "paper"}))


def test_without_trainings_there_are_structures_alone() -> None:
    assert [job.kind for job in list_jobs(asked(methods=("tas", "tas-depth"), training=()))] == ["structure"] * 2


@pytest.mark.parametrize(
    ("method", "training", "init", "kd", "teacher"),
    [
        ("tas", "scratch-e", "scratch", False, False),
        ("tas", "kd", "scratch", True, True),
        ("tas", "scratch-b+kd", "scratch", True, True),
        ("tas", "finetune", "teacher", False, True),
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
    assert (options.init, options.distillation.kd) == (init, kd)
    assert options.distillation.teacher == (("dir/teacher/seed0",) if teacher else ())
    assert options.architecture == f"dir/structures/{method}/0.5/seed0"


@pytest.mark.parametrize(
    ("search", "inherit", "init"),
    [
        ({}, None, "teacher"),
        ({}, "supernet", "inherited"),
        ({"init": "teacher"}, None, "inherited"),
        ({"init": "teacher"}, "teacher", "teacher"),
        ({"init": "teacher", "strategy": "sandwich", "epochs": 0}, None, "inherited"),
    ],
)
def test_fine_tuning_after_a_search_starts_from_weights_that_go_back_to_the_teacher_unless_told_otherwise(
    search: dict[str, Any], inherit: Any, init: str
) -> None:
    job = list_jobs(asked(methods=("tas",), training=("finetune",), search=search, inherit=inherit))[-1]
    assert isinstance(job.options, TrainOptions) and job.options.init == init
    assert bool(job.options.distillation.teacher) == (init == "teacher")


def test_fine_tuning_takes_a_share_of_the_learning_rate() -> None:
    job = list_jobs(asked(methods=("tas",), training=("finetune",), lr=0.2, finetune_lr_factor=0.05))[-1]
    assert flat(job)["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(("method", "searched"), [("tas", "both"), ("tas-width", "width"), ("tas-depth", "depth")])
def test_the_searches_differ_in_what_they_search(method: str, searched: str) -> None:
    options = list_jobs(asked(methods=(method,)))[0].options
    assert isinstance(options, SearchOptions)
    assert options.space.search == searched
    assert (options.target.tolerance, options.target.flops_target, options.target.params_target) == (0.02, 0.5, None)


def test_a_variant_is_its_method_with_other_options_and_counts_as_it() -> None:
    jobs = jobs_of(
        methods=("tas", "tas-8"),
        training=("init",),
        search={"strategy": "gumbel-mixture", "epochs": 3, "arch-lr": 0.5},
        variants={"tas-8": {"method": "tas-width", "samples": 8, "epochs": 4}},
    )
    plain, varied = (jobs[f"structures/{name}/0.5/seed0"] for name in ("tas", "tas-8"))
    assert isinstance(plain.options, SearchOptions) and isinstance(varied.options, SearchOptions)
    keys = ("samples", "epochs", "search", "arch_lr")
    assert [flat(plain)[key] for key in keys] == [2, 3, "both", 0.5]
    assert [flat(varied)[key] for key in keys] == [8, 4, "width", 0.5]
    assert flat(jobs["trainings/tas-8/0.5/init/seed0"])["init"] == "inherited"


def test_prunings_start_from_the_teacher_of_their_seed() -> None:
    jobs = jobs_of(methods=("l1",), seeds=(3,), prune={"epochs": 2}, teacher_epochs=9)
    options = jobs["structures/l1/0.5/seed3"].options
    assert isinstance(options, PruneOptions)
    assert (options.pruning.method, options.source.weights) == ("l1", "dir/teacher/seed3")
    assert options.recipe.epochs == 2
    assert flat(jobs["teacher/seed3"])["epochs"] == 9


def test_the_recipe_is_everybodys_and_the_sections_override_it() -> None:
    jobs = jobs_of(training=("kd",), batch_size=32, epochs=5, search={"batch_size": 16}, train={"kd_alpha": 0.5})
    assert flat(jobs["structures/tas/0.5/seed0"])["batch_size"] == 16
    assert flat(jobs["structures/uniform/0.5/seed0"])["batch_size"] == 32
    training, teacher = flat(jobs["trainings/tas/0.5/scratch-e+kd/seed0"]), flat(jobs["teacher/seed0"])
    assert (training["batch_size"], training["epochs"], training["kd_alpha"]) == (32, 5, 0.5)
    assert (teacher["batch_size"], teacher["epochs"]) == (32, 5)
    assert all(flat(job)["devices"] == "1" for job in jobs.values())


def test_options_of_distillation_go_to_taught_trainings_alone() -> None:
    jobs = jobs_of(methods=("tas",), training=("scratch-e", "kd"), train={"attention_transfer": 1000.0})
    assert flat(jobs["trainings/tas/0.5/scratch-e+kd/seed0"])["attention_transfer"] == 1000.0
    assert flat(jobs["trainings/tas/0.5/scratch-e/seed0"])["attention_transfer"] == 0.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": {"epoch": 3}}, "--search: 'epoch' is not an option of tas search, did you mean 'epochs'?"),
        ({"search": {"epochs": "few"}}, "--search, for tas: --epochs is few; expected: a whole number"),
        ({"search": {"probes": 9}}, "--search, for tas: --probes is 9"),
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
        (
            {"methods": ("a",), "variants": {"a": {"method": "random", "blocks": 2}}},
            "--prune, for a: --blocks goes with --method uniform",
        ),
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
        job.seed: job.options.distillation.teacher
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
        assert set(map(Path, flat(job).get("teacher", ()))) <= set(job.needs)
        seen.add(job.path)


def test_weights_come_from_the_first_of_several_teachers_alone() -> None:
    jobs = jobs_of(methods=("l1",), training=("init", "kd"), seeds=(0, 1), teachers=2)
    assert flat(jobs["trainings/l1/0.5/init/seed1"])["teacher"] == ("dir/teacher/seed1",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variants": {"unpruned": {"method": "tas"}}}, "--variants: 'unpruned' cannot be a name"),
        ({"flops_targets": (0.5, 0.50000001)}, "--flops-targets is 0.5, 0.5; allowed: each value once"),
        ({"params_targets": (0.5, 0.50000001)}, "--params-targets is 0.5, 0.5; allowed: each value once"),
        ({"params_targets": (0.5, 1.5)}, "--params-targets is 1.5; allowed: a share above 0, at most 1, or"),
        ({"flops_targets": ()}, "--flops-targets is empty; allowed: one target or more, of FLOPs or of parameters"),
        ({"ranked": ("tas",)}, "--ranked goes with --rank"),
        ({"rank": 2, "ranked": ("uniform",)}, "--ranked is uniform; allowed: tas, tas-width, tas-depth"),
        ({"teachers": 2, "training": ("kd",)}, "--teachers is 2; allowed: 1 to the 1 --seeds"),
        ({"teachers": 2, "seeds": (0, 1)}, "--teachers goes with a --training with +kd"),
    ],
)
def test_what_would_mix_runs_or_do_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TasError) as error:
        check_methods(asked(**options))
    assert str(error.value).startswith(message)


def test_an_unpruned_network_with_its_librarys_weights_is_not_from_scratch() -> None:
    options = {"methods": ("l1",), "network": "torchvision/resnet18"}
    assert jobs_of(**options)["teacher/seed0"].training == "scratch-e"
    assert jobs_of(**options, pretrained=True)["teacher/seed0"].training == "pretrained"
