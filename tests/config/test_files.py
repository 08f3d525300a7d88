"""Options in files: several that add up, and recipes."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from tas.comparison.jobs import list_jobs
from tas.config import CompareOptions, PruneOptions, SearchOptions, TrainOptions
from tas.config.parsing import parse
from tas.errors import TasError
from tas.runs.run import Run

ROOT = Path(__file__).parents[2]
PAPER = yaml.safe_load((ROOT / "configs" / "recipes" / "paper.yaml").read_text(encoding="utf-8"))["search"]


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., list[str]]:
    """Write files of options, and name them as a command's arguments."""

    def write(*texts: str) -> list[str]:
        given = []
        for number, text in enumerate(texts):
            path = tmp_path / f"options{number}.yaml"
            path.write_text(text, encoding="utf-8")
            given += ["--config", str(path)]
        return given

    return write


def search(*arguments: str) -> SearchOptions:
    return parse("search", SearchOptions, arguments)


def error_of(options: type, command: str, *arguments: str) -> str:
    with pytest.raises(TasError) as error:
        parse(command, options, arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_several_files_add_up_and_the_later_wins(config: Callable) -> None:
    first, second = "epochs: 3\nlr: 0.2\n", "epochs: 5\nmomentum: 0.8\n"
    assert search(*config(first, second)) == SearchOptions.of(epochs=5, lr=0.2, momentum=0.8)
    assert search(*config(second, first)) == SearchOptions.of(epochs=3, lr=0.2, momentum=0.8)


def test_flags_win_over_all_files(config: Callable) -> None:
    given = config("epochs: 3\n", "epochs: 5\n")
    assert search(*given[:2], "--epochs", "7", *given[2:]) == SearchOptions.of(epochs=7)


@pytest.mark.parametrize("key", ["epochs", "network", "ratios", "flops_target", "pretrained", "search"])
def test_null_in_a_later_file_brings_back_the_default(key: str, config: Callable) -> None:
    other = {"epochs": 3, "network": "resnet32", "ratios": [0.5, 0.9, 1.0], "flops_target": 0.3, "pretrained": True}
    first = yaml.safe_dump({**other, "search": "depth"})
    changed = search(*config(first)).flat()
    assert changed[key] != SearchOptions().flat()[key]
    assert search(*config(first, f"{key}: null\n")).flat() == {**changed, key: SearchOptions().flat()[key]}


def test_each_file_is_named_for_what_is_wrong_in_it(config: Callable) -> None:
    given = config("epochs: 3\n", "epoch: 3\n")
    assert error_of(SearchOptions, "search", *given).startswith(f"--config {given[3]}: key 'epoch' is not an option")


def test_the_recipe_paper_is_what_the_paper_has_otherwise() -> None:
    assert search("--recipe", "paper") == SearchOptions.of(**PAPER)
    assert search("--recipe=paper") == SearchOptions.of(**PAPER)
    strategy, space = asdict(search("--recipe", "paper").strategy), search("--recipe", "paper").space
    expected = {
        "strategy": "gumbel-mixture",
        "arch_optimizer": "adam",
        "arch_lr": 0.001,
        "arch_weight_decay": 0.001,
        "align": "interpolate",
    }
    expected |= {"warmup": 0, "tau_start": 10, "tau_end": 0.1, "depth_training": "mixed"}
    assert {key: strategy[key] for key in expected} == expected
    assert space.residuals == "free"


def test_a_file_names_a_recipe_and_wins_over_it(config: Callable) -> None:
    assert search(*config("recipe: paper\n")) == search("--recipe", "paper")
    assert search(*config("tau_start: 3\nrecipe: paper\n")) == SearchOptions.of(**PAPER | {"tau_start": 3.0})
    assert search(*config("recipe: null\nepochs: 3\n")) == SearchOptions.of(epochs=3)


def test_a_recipe_lies_below_all_else_wherever_it_is_named(config: Callable) -> None:
    by_file = config("tau_start: 3\n", "recipe: paper\n")
    assert search(*by_file) == SearchOptions.of(**PAPER | {"tau_start": 3.0})
    assert search(*by_file[2:], *by_file[:2]) == SearchOptions.of(**PAPER | {"tau_start": 3.0})
    assert search(*by_file[:2], "--recipe", "paper") == SearchOptions.of(**PAPER | {"tau_start": 3.0})
    assert search("--tau-start", "2", *by_file) == SearchOptions.of(**PAPER | {"tau_start": 2.0})


def test_null_brings_back_the_default_that_a_recipe_changed(config: Callable) -> None:
    given = search("--recipe", "paper", *config("arch_lr: null\ntau_start: null\n"))
    assert (given.strategy.arch_lr, given.strategy.tau_start) == (None, 1.0)
    assert given.strategy.align == "interpolate"


def test_a_run_keeps_what_its_recipe_said_not_its_name(tmp_path: Path) -> None:
    run, options = Run(tmp_path / "run"), search("--recipe", "paper")
    run.start(options)
    assert "recipe" not in yaml.safe_load(run.config.read_text(encoding="utf-8"))
    assert search("--config", str(run.config)) == options


def test_a_recipe_does_not_go_with_resume(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(SearchOptions())
    message = error_of(SearchOptions, "search", "--resume", str(run.path), "--recipe", "paper")
    assert message.startswith("--recipe does not go with --resume")


def compared(**options: object) -> dict[str, SearchOptions]:
    """Method -> the options of its search."""
    jobs = list_jobs(CompareOptions.of(output="out", training=(), seeds=(0,), **options))
    return {job.method: job.options for job in jobs if isinstance(job.options, SearchOptions)}


def of_search(options: SearchOptions) -> tuple[object, ...]:
    return options.strategy, options.space


def test_a_section_of_a_comparison_names_a_recipe() -> None:
    paper = of_search(SearchOptions.of(**PAPER))
    found = compared(methods=("tas", "uniform"), search={"recipe": "paper"})
    assert of_search(found["tas"]) == paper
    found = compared(methods=("tas",), search={"recipe": "paper", "samples": 1})
    assert of_search(found["tas"]) == of_search(SearchOptions.of(**PAPER, samples=1))


def test_a_variant_of_a_comparison_names_a_recipe() -> None:
    variants = {"tas-paper": {"method": "tas", "recipe": "paper"}}
    found = compared(methods=("tas", "tas-paper"), variants=variants)
    assert of_search(found["tas"]) == of_search(SearchOptions())
    assert of_search(found["tas-paper"]) == of_search(SearchOptions.of(**PAPER))


@pytest.mark.parametrize("as_yaml", [False, True])
def test_the_command_line_gives_a_section_its_recipe(as_yaml: bool, config: Callable) -> None:
    given = config("search: {recipe: paper}\n") if as_yaml else ["--search.recipe", "paper"]
    options = parse("compare", CompareOptions, ["--output", "out", "--methods", "tas", "--training=", *given])
    assert {of_search(job.options) for job in list_jobs(options)} == {of_search(SearchOptions.of(**PAPER))}


def test_an_unknown_recipe_is_refused_with_the_nearest(config: Callable) -> None:
    said = "no recipe 'papr', did you mean 'paper'?; known: paper"
    assert error_of(SearchOptions, "search", "--recipe", "papr") == f"--recipe papr: {said}"
    given = config("recipe: papr\n")
    assert error_of(SearchOptions, "search", *given) == f"--config {given[1]}: {said}"
    for options in ({"search": {"recipe": "papr"}}, {"variants": {"mine": {"method": "tas", "recipe": "papr"}}}):
        with pytest.raises(TasError, match=r"^--(search|variants mine): no recipe 'papr', did you mean 'paper'\?"):
            compared(methods=("tas",), **options)


@pytest.mark.parametrize(("command", "options"), [("train", TrainOptions), ("prune", PruneOptions)])
def test_a_recipe_with_nothing_for_the_command_is_refused(command: str, options: type, config: Callable) -> None:
    said = f"the recipe paper has options for search, none for tas {command}"
    assert error_of(options, command, "--recipe", "paper") == f"--recipe paper: {said}"
    given = config("recipe: paper\n")
    assert error_of(options, command, *given) == f"--config {given[1]}: {said}"
    with pytest.raises(TasError, match=f"^--{command}: {said}$"):
        compared(methods=("uniform",), **{command: {"recipe": "paper"}})


def test_the_key_of_a_recipe_is_suggested_too(config: Callable) -> None:
    assert "did you mean 'recipe'?" in error_of(SearchOptions, "search", *config("recip: paper\n"))


def test_commands_refuse_a_recipe_in_one_line(refused: Callable) -> None:
    assert refused("search", "--recipe", "papr").startswith("tas search: error: --recipe papr: no recipe 'papr'")
    assert "none for tas train" in refused("train", "--recipe", "paper")
    assert "none for tas compare" in refused("compare", "--recipe", "paper")


def test_the_sections_of_a_comparison_add_up_by_key_and_its_variants_by_name(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("search: {epochs: 40, round_to: 8, lr: 0.05}\nvariants: {tas-8: {method: tas, samples: 8}}\n")
    second.write_text("search: {lr: 0.1}\nvariants: {tas-4: {method: tas, samples: 4}}\n")
    given = ["--config", str(first), "--config", str(second), "--search.round-to", "4"]
    options = parse("compare", CompareOptions, given)
    assert options.search == {"epochs": 40, "round_to": 4, "lr": 0.1}
    assert options.variants == {"tas-8": {"method": "tas", "samples": 8}, "tas-4": {"method": "tas", "samples": 4}}


def test_a_recipe_lies_below_all_files_whichever_names_it(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.yaml" for name in ("first", "second", "third"))
    first.write_text("tau_start: 3\nwarmup: 0.2\nstrategy: gumbel-mixture\n")
    second.write_text("recipe: paper\n")
    third.write_text("recipe: null\n")
    options = parse("search", SearchOptions, ["--config", str(first), "--config", str(second)])
    assert (options.strategy.tau_start, options.strategy.warmup, options.strategy.align) == (3, 0.2, "interpolate")
    every = [argument for file in (first, second, third) for argument in ("--config", str(file))]
    assert parse("search", SearchOptions, every).strategy.align == "pad"


@pytest.mark.parametrize("name", ["recipe", "resume"])
def test_what_can_be_given_once_is_not_given_twice(name: str) -> None:
    with pytest.raises(TasError, match=f"--{name} is given 2 times; give one"):
        parse("search", SearchOptions, [f"--{name}", "paper", f"--{name}", "paper"])
