import re
from dataclasses import fields
from pathlib import Path

import pytest

from tas.cli import COMMANDS as ALL
from tas.config import SearchOptions, TrainOptions
from tas.config.checks import flag
from tas.config.groups import OF_SANDWICH, Strategy
from tas.config.options import Options
from tas.config.parsing import parse
from tas.errors import TasError

ROOT = Path(__file__).parents[2]
OTHERS = ("studies", "recipes")
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name not in OTHERS)
COMMANDS = {"search": SearchOptions, "train": TrainOptions}

OUT_OF_RANGE = [
    ("batch_size", 0),
    ("workers", -1),
    ("lr", 0.0),
    ("lr", float("nan")),
    ("momentum", -0.1),
    ("momentum", 1.0),
    ("weight_decay", -1e-4),
    ("epochs", 0),
    ("seed", -1),
    ("seed", 2**32),  # numpy's generator takes no more than 32 bits
    ("num_nodes", 0),
    ("image_size", 7),
]
OUT_OF_RANGE_SEARCH = [
    ("flops_target", 0.0),
    ("flops_target", -0.5),
    ("flops_target", 1.01),
    ("flops_target", float("nan")),
    ("params_target", 0.0),
    ("params_target", -0.5),
    ("params_target", 1.01),
    ("params_target", float("nan")),
    ("tolerance", 0.0009),
    ("tau_end", 0.0009),
    ("tolerance", 1.0),
    ("search", "widths"),
    ("samples", 0),
    ("samples", 9),
    ("ratios", ()),
    ("ratios", (0.5, 0.9)),
    ("ratios", (0.0, 1.0)),
    ("ratios", (0.5, 1.0, 1.5)),
    ("cost_weight", -1.0),
    ("warmup", 1.0),
    ("tau_start", 0.0),
    ("tau_end", 0.0),
    ("arch_lr", 0.0),
    ("arch_weight_decay", -1e-3),
]
OUT_OF_RANGE_TRAIN = [
    ("kd_alpha", -0.1),
    ("kd_alpha", 1.1),
    ("kd_temperature", 0.0),
    ("attention_transfer", -1.0),
    ("hints", float("nan")),
]
CASES = [
    *[(options, *case) for options in COMMANDS.values() for case in OUT_OF_RANGE],
    *[(SearchOptions, *case) for case in OUT_OF_RANGE_SEARCH],
    *[(TrainOptions, *case) for case in OUT_OF_RANGE_TRAIN],
]


def mixture(key: str) -> dict[str, str]:
    """What an option of the mixture needs beside itself."""
    of_mixture = key in {one.name for one in fields(Strategy)} - {"strategy", *OF_SANDWICH}
    return {"strategy": "gumbel-mixture"} if of_mixture else {}


def said_by(path: Path) -> tuple[str, str, str | None]:
    """Command, data and network that a path says: COMMAND/DATA-NETWORK.yaml or DATA/COMMAND-NETWORK.yaml."""
    folder, (stem, *network) = path.parent.name, path.stem.split("-")
    command, data = (folder, stem) if folder in COMMANDS else (stem, folder)
    return command, data, network[0] if network else None


def test_there_are_configurations_of_both_commands() -> None:
    assert {said_by(path)[0] for path in CONFIGS} == set(COMMANDS)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_configuration_parses_and_every_key_of_it_counts(path: Path) -> None:
    command = said_by(path)[0]
    options = parse(command, COMMANDS[command], ["--config", str(path)])
    stated = re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert stated
    assert set(stated) <= {"recipe", *options.listed()}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_configuration_is_of_the_network_and_data_that_its_name_says(path: Path) -> None:
    command, data, network = said_by(path)
    options = parse(command, COMMANDS[command], ["--config", str(path)])
    assert options.dataset.data == data
    assert network is None or options.source.name.removeprefix("torchvision/") == network


@pytest.mark.parametrize(("options", "key", "value"), CASES, ids=str)
def test_a_value_out_of_range_is_refused_by_its_flag(options: type[Options], key: str, value: object) -> None:
    with pytest.raises(TasError) as error:
        options.of(**mixture(key), **{key: value})
    assert str(error.value).startswith(f"{flag(key)} is ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        (SearchOptions, "flops_target", 1.0),
        (SearchOptions, "params_target", 1.0),
        (SearchOptions, "tolerance", 0.001),
        (SearchOptions, "samples", 8),
        (SearchOptions, "cost_weight", 0.0),
        (SearchOptions, "image_size", 8),
        (TrainOptions, "momentum", 0.0),
        (TrainOptions, "kd_alpha", 0.0),
        (TrainOptions, "kd_alpha", 1.0),
        (TrainOptions, "seed", 2**32 - 1),
    ],
    ids=str,
)
def test_the_ends_of_a_range_are_allowed(options: type[Options], key: str, value: object) -> None:
    assert options.of(**mixture(key), **{key: value}).flat()[key] == value


def test_network_and_architecture_exclude_each_other() -> None:
    with pytest.raises(TasError, match="--network and --architecture"):
        TrainOptions.of(network="resnet20", architecture="found.json")


def test_a_teacher_goes_with_kd_only() -> None:
    assert TrainOptions.of(kd=True, teacher=("run", "other")).distillation.teacher == ("run", "other")
    with pytest.raises(TasError, match="--teacher goes with --kd"):
        TrainOptions.of(teacher=("run",))
    with pytest.raises(TasError, match="--teacher names several"):
        TrainOptions.of(teacher=("run", "other"), init="teacher")


@pytest.mark.parametrize("key", ["attention_transfer", "hints"])
def test_the_feature_terms_go_with_kd_only(key: str) -> None:
    assert getattr(TrainOptions.of(kd=True, **{key: 2.0}).distillation, key) == 2.0
    with pytest.raises(TasError, match=f"{flag(key)} goes with --kd"):
        TrainOptions.of(**{key: 2.0})


def test_zeros_are_kept_only_where_weights_are_given() -> None:
    assert TrainOptions.of(keep_zeros=True, init="inherited").keep_zeros
    assert TrainOptions.of(keep_zeros=True, network="resnet20", weights="pruned").keep_zeros
    for given in ({}, {"init": "teacher"}, {"network": "resnet20"}):
        with pytest.raises(TasError, match="--keep-zeros goes with --init inherited"):
            TrainOptions.of(keep_zeros=True, **given)


@pytest.mark.parametrize("options", [command.options for command in ALL.values()])
def test_every_field_is_explained_in_a_sentence(options: type[Options]) -> None:
    for name, option in options.listed().items():
        assert len(option.explained) > 10, name
        assert option.explained.endswith("."), name


def test_options_cannot_be_changed_but_copied_with_a_change() -> None:
    options = SearchOptions()
    for holder, name in ((options, "init"), (options, "epochs"), (options.recipe, "epochs")):
        with pytest.raises(AttributeError):
            setattr(holder, name, 2)
    changed = options.changed(epochs=2, init="scratch")
    assert (changed.recipe.epochs, changed.init) == (2, "scratch")
    assert options == SearchOptions() != changed


def test_a_copy_with_a_change_is_checked_as_a_whole() -> None:
    with pytest.raises(TasError, match="--samples is 8; allowed: 1 to the 2 --ratios"):
        SearchOptions.of(strategy="gumbel-mixture", samples=8).changed(ratios=(0.5, 1.0))
    with pytest.raises(TypeError, match="SearchOptions has no option 'kd'"):
        SearchOptions().changed(kd=True)


@pytest.mark.parametrize("command", ALL)
def test_options_are_read_flat_and_made_from_what_is_read(command: str) -> None:
    given = {"epochs": 3, "network": "resnet32", "precision": "bf16-mixed"}
    given = {name: value for name, value in given.items() if name in ALL[command].options.listed()}
    options = ALL[command].options.of(**given)
    flat = options.flat()
    assert list(flat) == list(options.listed())
    assert {name: flat[name] for name in given} == given
    assert type(options).of(**flat) == options


def test_two_targets_stand_beside_each_other_and_one_is_half_of_the_flops_unless_given() -> None:
    given = [{}, {"flops_target": 0.3}, {"params_target": 0.4}, {"flops_target": 0.3, "params_target": 0.4}]
    shares = [{"flops": 0.5}, {"flops": 0.3}, {"params": 0.4}, {"flops": 0.3, "params": 0.4}]
    amounts = [SearchOptions.of(**one).target.amounts() for one in given]
    assert [{name: amount.given for name, amount in one.items()} for one in amounts] == shares


def test_the_defaults_of_the_search_are_those_of_the_method() -> None:
    options = SearchOptions()
    strategy, recipe = options.strategy, options.recipe
    assert (strategy.samples, strategy.cost_weight, options.target.tolerance) == (2, 2.0, 0.05)
    assert options.space.ratios == (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert strategy.tau_end == 0.1
    assert (recipe.lr, recipe.momentum, recipe.weight_decay) == (0.1, 0.9, 5e-4)
    assert (strategy.arch_optimizer, strategy.arch_lr, strategy.arch_weight_decay) == ("sgd", None, 0.0)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "search").glob("cifar*.yaml")), ids=lambda path: path.stem)
def test_what_the_defaults_change_of_the_paper_its_configs_state(path: Path) -> None:
    options = parse("search", SearchOptions, ["--config", str(path)])
    strategy = options.strategy
    assert strategy.strategy == "gumbel-mixture"
    assert (strategy.align, options.space.residuals, strategy.warmup) == ("interpolate", "free", 0)
    assert (strategy.tau_start, strategy.tau_end, options.recipe.epochs) == (10.0, 0.1, 600)
    assert strategy.depth_training == "mixed"
    assert (strategy.arch_optimizer, strategy.arch_lr, strategy.arch_weight_decay) == ("adam", 1e-3, 1e-3)


def test_the_defaults_of_distillation_are_the_papers_for_cifar() -> None:
    distillation = TrainOptions().distillation
    assert (distillation.kd_alpha, distillation.kd_temperature) == (0.9, 4.0)


def test_norms_over_all_devices_go_with_what_can_ask_them() -> None:
    for options in (SearchOptions, TrainOptions):
        with pytest.raises(TasError, match=r"^--sync-batchnorm does not go with --compile$"):
            options.of(sync_batchnorm=True, compile=True)
    paper = {"strategy": "gumbel-mixture", "align": "interpolate", "sync_batchnorm": True}
    with pytest.raises(TasError, match=r"^--sync-batchnorm with --align interpolate needs --compute masked$"):
        SearchOptions.of(**paper)
    SearchOptions.of(**paper, compute="masked")


def test_a_network_that_is_asked_without_training_is_asked_on_one_device() -> None:
    asked = {"epochs": 0, "pretrained": True}
    for one in ({"devices": "auto"}, {"devices": "1"}, {"devices": "2,"}):
        SearchOptions.of(**asked, **one)
    for more in ({"devices": "2"}, {"devices": "0,1"}, {"num_nodes": 2}):
        with pytest.raises(TasError, match=r"^--devices is .*; allowed: 1 with --epochs 0, which trains nothing"):
            SearchOptions.of(**asked, **more)
