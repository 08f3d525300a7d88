"""What a comparison aims at: one target alone, or several together."""

from typing import Any

import pytest

from tas.comparison.aims import Aim, aim_start, aim_words
from tas.comparison.jobs import list_jobs
from tas.comparison.methods import check_methods
from tas.comparison.statistics import differences, means
from tas.comparison.tables import sentence, table
from tas.config.amount import Amount
from tas.config.methods import METHODS
from tas.errors import TasError
from tests.comparison.rows import row, unpruned
from tests.comparison.test_jobs import asked, flat, jobs_of

BOTH: dict[str, Any] = {
    "measure": "flops+latency",
    "aimed": "0.5+3.5ms",
    "latency_seconds": 0.0035,
    "latency_ratio": 0.601,
    "latency_low": 0.59,
    "latency_high": 0.62,
}


def test_each_target_of_latency_and_memory_has_folders_and_budgets_of_its_own() -> None:
    lists = {"latency_targets": (0.6, "3.5ms"), "memory_targets": ("500kB",)}
    jobs = jobs_of(**lists, latency_batch=4, latency_threads=1, methods=("l1", "tas"))
    given = {
        "latency-0.6": ("latency", 0.6),
        "latency-3.5ms": ("latency", "3.5ms"),
        "memory-500kB": ("memory", "500kB"),
    }
    structures = {name for name, job in jobs.items() if job.kind == "structure"}
    assert structures == {f"structures/{method}/{name}/seed0" for method in ("l1", "tas") for name in given}
    for method in ("l1", "tas"):
        for name, (measure, target) in given.items():
            found = flat(jobs[f"structures/{method}/{name}/seed0"])
            targets = {key: found[f"{key}_target"] for key in ("flops", "params", "latency", "memory")}
            assert targets == {"flops": None, "params": None, "latency": None, "memory": None} | {measure: target}
            assert (found["latency_batch"], found["latency_threads"]) == (4, 1)


def test_together_the_targets_of_one_place_are_one_aim() -> None:
    lists = {"flops_targets": (0.5, 0.5), "latency_targets": (0.6, "3.5ms"), "memory_targets": (0.7, 0.8)}
    jobs = jobs_of(**lists, together=True, methods=("balanced", "tas"))
    names = {"0.5+latency-0.6+memory-0.7": (0.6, 0.7), "0.5+latency-3.5ms+memory-0.8": ("3.5ms", 0.8)}
    assert {job.aim.folder for job in jobs.values() if job.kind == "structure"} == set(names)
    for name, (latency, memory) in names.items():
        found = flat(jobs[f"structures/tas/{name}/seed0"])
        assert (found["flops_target"], found["latency_target"], found["memory_target"]) == (0.5, latency, memory)
    assert len({job.name for job in jobs.values()}) == len(jobs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latency_targets": ("5x",)}, "--latency-targets is 5x; allowed: a share above 0, at most 1, or a time with"),
        ({"memory_targets": ("40M",)}, "--memory-targets is 40M; allowed: a share above 0, at most 1, or bytes with"),
        (
            {"latency_targets": ("1000us", "1ms")},
            "--latency-targets is 1ms, 1ms; allowed: each value once",
        ),
        (
            {"flops_targets": (0.5, 0.4), "latency_targets": (0.6,), "together": True},
            "--together is given, and --flops-targets with 2 and --latency-targets with 1; allowed: two lists or more",
        ),
        ({"flops_targets": (0.5,), "together": True}, "--together is given, and --flops-targets with 1; allowed: two"),
        (
            {"flops_targets": (0.5, 0.5), "memory_targets": (0.6, 0.6), "together": True},
            "--together is 0.5 and 0.6, 0.5 and 0.6; allowed: one value or more, each once",
        ),
        ({"latency_targets": (0.6,), "jobs": 2}, "--latency-targets: times are measured with nothing beside; not with"),
        ({"latency_targets": (0.6,), "ray": "local"}, "--latency-targets: times are measured with nothing beside"),
        ({"latency_targets": (0.6,), "rank": 2}, "--rank goes with --flops-targets and --params-targets, each target"),
        ({"latency_targets": (0.6,), "methods": ("l1", "sss")}, "--latency-targets: not with --methods sss; allowed: "),
        (
            {"memory_targets": (0.6,), "methods": ("unstructured",)},
            "--memory-targets: not with --methods unstructured;",
        ),
        (
            {"flops_targets": (0.5,), "params_targets": (0.5,), "together": True, "methods": ("l1", "fpgm")},
            "--together: not with --methods l1, fpgm; allowed: tas, tas-width, tas-depth, uniform, shallow, balanced, ",
        ),
        ({"search": {"latency_target": 0.5}}, "--search: latency_target is not to be given here"),
        ({"prune": {"latency_batch": 2}}, "--prune: latency_batch is not to be given here"),
    ],
)
def test_what_cannot_be_aimed_at_is_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TasError) as refused:
        check_methods(asked(**options))
        list_jobs(asked(**options))
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_a_function_of_ones_own_may_aim_at_everything() -> None:
    own = {"methods": ("mine",), "variants": {"mine": {"method": "tests.traits:nothing"}}}
    check_methods(asked(**own, latency_targets=(0.6,), memory_targets=(0.5,), together=True))


def test_a_method_that_is_compared_takes_the_targets_that_its_pruning_takes() -> None:
    for name, method in METHODS.items():
        for measure, target in {"latency": 0.6, "memory": 0.5}.items():
            options = {"methods": (name,), f"{measure}_targets": (target,)}
            if measure in method.measures:
                check_methods(asked(**options))
                assert jobs_of(**options)
            else:
                with pytest.raises(TasError, match=f"--{measure}-targets: not with --methods {name}; "):
                    check_methods(asked(**options))


def test_what_is_aimed_at_in_words() -> None:
    aim = Aim.of({"flops": Amount(0.5), "latency": Amount.read("latency_targets", "3.5ms")})
    assert (aim.measure, aim.aimed, aim.folder) == ("flops+latency", "0.5+3.5ms", "0.5+latency-3.5ms")
    both = row("tas", 0, 0.5, **BOTH)
    assert (both.measure, both.aimed) == (aim.measure, aim.aimed)
    assert aim_words(both) == "0.5 FLOPs + 3.5ms latency" and aim_start(both) == "FLOPs 0.5 + latency 3.5ms"
    counted = row("tas", 0, 0.5, measure="params", target=0.31234567, aimed="81.6k")
    assert aim_words(counted) == "0.312346 parameters"


def test_the_table_shows_what_was_measured_where_it_was_aimed_at() -> None:
    alone = {"measure": "latency", "aimed": "0.6", "target": 0.6, **{k: v for k, v in BOTH.items() if "_" in k}}
    rows = [
        row("uniform", 0, 0.5, **BOTH),
        row("uniform", 1, 0.5, **BOTH | {"latency_ratio": 0.605, "latency_high": 0.64, "target_met": False}),
        row("tas", 0, 0.6, **alone),
        row("l1", 0, 0.6, measure="memory", aimed="0.5", memory=10_250, memory_ratio=0.495, target_met=False),
        unpruned(0, 0.7),
    ]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(means(rows)).splitlines()]
    assert lines[0][-2:] == ["latency", "peak memory"]
    uniform, tas, l1, full = lines[2:]
    assert uniform[0] == "0.5 FLOPs + 3.5ms latency, MISSED" and uniform[5] == "50.00%"
    assert uniform[-2:] == ["60.30% (59.00% to 64.00%), 3.5 ms", "-"]
    assert tas[0] == "0.6 latency" and tas[-2] == "60.10% (59.00% to 62.00%), 3.5 ms"
    assert l1[0] == "0.5 peak memory" and l1[-1] == "10.2 kB (49.50%), MISSED"
    assert full[-2:] == ["-", "-"]
    assert "latency" not in table(means([row("uniform", 0, 0.5)]))


def test_aims_that_share_a_first_target_are_not_mixed() -> None:
    rows = [
        row(method, seed, accuracy, **BOTH | {"aimed": aimed})
        for aimed, accuracy in (("0.5+0.6", 0.5), ("0.5+0.4", 0.3))
        for method in ("uniform", "tas")
        for seed in range(3)
    ]
    assert [(mean.method, mean.aimed, mean.accuracy_mean) for mean in means(rows)] == [
        (method, aimed, accuracy)
        for aimed, accuracy in (("0.5+0.6", 0.5), ("0.5+0.4", 0.3))
        for method in ("uniform", "tas")
    ]
    found = differences(rows, ["uniform"])
    assert [(one.aimed, one.mean) for one in found] == [("0.5+0.6", 0.0), ("0.5+0.4", 0.0)]
    few = [row("tas", seed, 0.6, **BOTH | {"aimed": "0.5+0.6", "target_met": False}) for seed in range(3)]
    (missed,) = differences([*rows[:3], *few], ["uniform"])
    assert "FLOPs 0.5 + latency 0.6, scratch-e: tas is +10.00" in sentence(missed)
    assert sentence(missed).endswith("but not at equal cost: not all targets were met; nothing can be said.")
