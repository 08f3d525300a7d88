import re
from pathlib import Path

import pytest

from tas.comparison.jobs import list_jobs
from tas.comparison.methods import check_methods
from tas.config import CompareOptions
from tas.config.parsing import parse
from tests.conftest import ROOT

STUDIES = sorted((ROOT / "configs" / "studies").glob("*.yaml"))
TWINS = {"table1", "table2", "table3", "figure3", "results"}
SMALL = [path for path in STUDIES if path.stem.removesuffix("-small") in TWINS and path.stem.endswith("-small")]


def parsed(path: Path) -> CompareOptions:
    return parse("compare", CompareOptions, ["--config", str(path)])


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_is_a_comparison_of_possible_runs(path: Path) -> None:
    options = parsed(path)
    stated = re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(stated) <= set(CompareOptions.listed())
    check_methods(options)
    jobs = list_jobs(options)
    trainings = len(options.methods) * len(options.training) * len(options.seeds) * len(options.targets.aims())
    assert sum(job.kind == "training" for job in jobs) == trainings
    assert options.output == f"runs/compare/{path.stem}"


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_study_asks_the_same_of_a_small_network_and_few_images(path: Path) -> None:
    small = parsed(path)
    twin = path.with_stem(path.stem.removesuffix("-small"))
    full = parsed(twin if twin.is_file() else twin.with_stem(f"{twin.stem}-resnet20"))
    assert set(small.methods) <= set(full.methods)
    for key in ("training", "targets", "seeds"):
        assert getattr(small, key) == getattr(full, key), key
    dataset = small.dataset
    assert (small.source.network, dataset.data, dataset.train_images) == ("resnet20", "folder", 5000)
    assert small.recipe.epochs < full.recipe.epochs or not small.training


def test_every_study_of_the_paper_has_a_small_twin() -> None:
    assert {path.stem.removesuffix("-small") for path in SMALL} == TWINS


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_for_two_cores_uses_both(path: Path) -> None:
    if "two CPU cores" in path.read_text(encoding="utf-8"):
        assert parsed(path).jobs == 2
