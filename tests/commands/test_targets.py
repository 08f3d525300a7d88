"""Targets, shares and counts: what is told before a run, what is refused, and that a network handed over keeps them."""

import random
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import tas
from tas.architecture import Architecture
from tas.cli import main
from tas.commands import search as searching
from tas.commands.found import search_result
from tas.commands.promises import check_kept, check_reachable
from tas.config import SearchOptions
from tas.config.amount import Amount
from tas.config.parsing import parse
from tas.config.targets import Target
from tas.errors import TargetMissedError, TasError
from tas.runs.run import Run
from tas.search.conclusion import Scored, conclude
from tas.search.finish import hand_over
from tas.search.probing import probes_of
from tas.search.task import budgets_of, reopen_search
from tas.space.outlook import outlook
from tests.commands.conftest import metrics_of
from tests.spaces import paper_space, unpruned

QUICK = ["--epochs", "1", "--batch-size", "32"]
FEW = ["--probes", "40", "--draws", "20"]


def test_a_target_that_no_network_meets_is_refused_and_said_to_be_missed_where_that_was_not_known(
    cli: Callable, refused: Callable, few_digits: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A narrow band between the costs of two depths, which are all that is searched.
    narrow = ["--search", "depth", "--flops-target", "0.6", "--tolerance", "0.001"]
    line = refused("search", *QUICK, *narrow, "--output", "run")
    assert "--flops-target 0.6 +- 0.1 %: no network of this search is inside; 0.5" in line and "can be reached" in line
    assert not (tmp_path / "run").exists()
    # As where nothing was proved in time, and as in a comparison.
    monkeypatch.setattr(searching, "check_reachable", lambda target, prospect: None)
    status, out, err = cli("search", *QUICK, *FEW, *narrow, "--output", "run")
    assert status == 3
    metrics = metrics_of(Run(tmp_path / "run"))
    assert not metrics["target_met"] and abs(metrics["flops_ratio"] - 0.6) < 0.1
    below, above = metrics["reachable"]
    assert below < 0.5994 and above > 0.6006 and metrics["flops_ratio"] in (below, above)
    assert f"NOT MET; this is the nearest network, this search can reach {below:.4f} and {above:.4f}" in out
    assert re.search("^target 0.6 .*: cannot be met; the nearest network is handed over$", out, re.MULTILINE)
    said = f"flops {metrics['flops_ratio']:.4g}, aimed at 0.6 +- 0.1 %: the nearest network is in run; {below:.4f} and"
    assert err.splitlines()[-1].startswith(f"tas search: target not met: {said} {above:.4f} can be reached")
    # It costs something else than the rules do.
    assert "not compared with rules" in out and "than uniform" not in out and metrics["predicted_gain"] == {}
    assert metrics["control"] is None


def test_a_target_for_the_parameters_alone_is_met(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    status, out, err = cli("search", *QUICK, *FEW, "--params-target", "0.3", "--output", "run")
    assert status == 0, err
    run = Run(tmp_path / "run")
    metrics = metrics_of(run)
    assert metrics["target_met"] and 0.285 <= metrics["params_ratio"] <= 0.315
    assert (metrics["flops_target"], metrics["params_target"]) == (None, 0.3)
    assert metrics["params"] == tas.parameters(tas.load(run.path)) == metrics["params_ratio"] * metrics["params_full"]
    assert re.search("^  target +0.3 .*: met$", out, re.MULTILINE)
    scalars = EventAccumulator(str(run.path)).Reload().Tags()["scalars"]
    assert "params/derived_ratio" in scalars and "flops/derived_ratio" not in scalars


def test_targets_for_flops_and_parameters_are_met_together(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    given = ["--flops-target", "0.5", "--params-target", "0.3"]
    status, out, err = cli("search", *QUICK, *FEW, *given, "--output", "run")
    assert status == 0, err
    run = Run(tmp_path / "run")
    metrics = metrics_of(run)
    assert metrics["target_met"]
    assert 0.475 <= metrics["flops_ratio"] <= 0.525 and 0.285 <= metrics["params_ratio"] <= 0.315
    assert (metrics["flops_target"], metrics["params_target"]) == (0.5, 0.3)
    found = tas.build(Architecture.load(run.architecture))
    assert metrics["flops"] == tas.flops(found, (1, 8, 8)) and metrics["params"] == tas.parameters(found)
    assert re.search(r"^  target +0.5 of the FLOPs, 0.3 of the parameters \+- 5%: met$", out, re.MULTILINE)
    assert {"flops/derived_ratio", "params/derived_ratio"} <= set(
        EventAccumulator(str(run.path)).Reload().Tags()["scalars"]
    )


def test_two_targets_that_no_network_meets_together_are_refused(refused: Callable) -> None:
    line = refused("search", "--flops-target", "0.2", "--params-target", "0.9")
    said = (
        "--flops-target 0.2 and --params-target 0.9 +- 5 %: no network of this search is inside both; inside the first"
    )
    found = re.search(
        re.escape(said) + r", (0\.\d+) \([\d,]+\) of the parameters of resnet20 can be reached; give that", line
    )
    assert found and 0.4 < float(found[1]) < 0.5


def test_counts_are_targets_and_the_space_is_told_before(cli: Callable, few_digits: None, tmp_path: Path) -> None:
    status, out, err = cli("search", *QUICK, *FEW, "--flops-target", "1.2M", "--output", "run")
    assert status == 0, err
    metrics = metrics_of(Run(tmp_path / "run"))
    assert 1_140_000 <= metrics["flops"] <= 1_260_000 and metrics["flops_target"] == 1_200_000 / metrics["flops_full"]
    assert parse("search", SearchOptions, ["--config", str(tmp_path / "run" / "config.yaml")]).target.amounts() == {
        "flops": Amount(1_200_000.0, absolute=True)
    }
    before, _, after = out.partition("search finished")
    full = unpruned("resnet20", num_classes=10, in_channels=1, size=8)
    smallest = paper_space(full, size=8, residuals="tied").smallest()
    for name, network in (("smallest", smallest), ("full", full)):
        built = tas.build(network)
        costs = rf"{tas.flops(built, (1, 8, 8)):,} \([\d.]+%\) +{tas.parameters(built):,} "
        assert re.search(rf"^{name} +{costs}", before, re.MULTILINE)
    assert re.search(r"^balanced +1,[12]\d\d,\d{3} \(4[5-9]", before, re.MULTILINE)
    assert "target 1.2M +- 5 %, 1,140,000 to 1,260,000 FLOPs: can be met\n" in before
    assert "1.2M FLOPs +- 5%: met" in after


MIXTURE, SANDWICH = ["--strategy", "gumbel-mixture"], ["--probes", "20", "--draws", "2"]
NETWORKS = {"resnet20": (SANDWICH, 20), "mobilenetv2": (MIXTURE, 40), "timm/mobilenetv3_small_050": (MIXTURE, 40)}
"""Network -> how it was searched, and how many targets are asked of it: by scores each takes longer."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """A finished search of a network, as short as it can be, among few widths, so that some bands hold no network."""
    runs: dict[str, Run] = {}

    def search(network: str) -> Run:
        if network not in runs:
            runs[network] = run = Run(tmp_path_factory.mktemp("asked") / "run")
            few = [*NETWORKS[network][0], "--train-images", "60", "--ratios", "[0.25,0.5,0.75,1.0]"]
            assert main(["search", "--network", network, *QUICK, *few, "--output", str(run.path)]) == 0
        return runs[network]

    return search


def recounted(network: nn.Module, shape: tuple[int, int, int]) -> dict[str, float]:
    """What a network costs by torch's own counter, which counts two for a multiply-add, and by its tensors."""
    network = network.cpu().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *shape))
    return {"flops": counter.get_total_flops() / 2, "params": sum(one.numel() for one in network.parameters())}


def drawn(rng: random.Random, full: dict[str, int]) -> Target:
    """A target at random: FLOPs, parameters or both, each a share or a count, in a band that may be narrow."""
    measures = rng.choice([("flops",), ("params",), ("flops", "params")])
    given: dict[str, float | str] = {}
    for measure in measures:
        share = rng.uniform(0.02, 1.05)
        given[measure] = rng.choice([min(share, 1.0), f"{share * full[measure] / 1000:.3f}k"])
    return Target(
        flops_target=given.get("flops"), params_target=given.get("params"), tolerance=rng.choice([0.01, 0.05])
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_handed_over_is_inside_the_band_of_every_target(network: str, asked: Callable[[str], Run]) -> None:
    run = asked(network)
    task, module = reopen_search(run)
    (_, count), rng, probes = NETWORKS[network], random.Random(network), probes_of(run).entries
    full = recounted(task.network, task.halves.data.input_shape)
    ends = {"refused": 0, "met": 0, "missed": 0}
    for _ in range(count):
        target = drawn(rng, {measure: int(cost) for measure, cost in full.items()})
        own = replace(task, options=task.options.changed(**asdict(target)))
        try:
            own = replace(own, budgets=budgets_of(target, task.space))
            check_reachable(target, outlook(own.space, own.budgets))
        except TasError as error:
            assert "\n" not in str(error) and "-target" in str(error)
            ends["refused"] += 1
            continue
        if probes:
            conclusion = conclude(Scored(task.space, probes), own.budgets, 2, 0)
        else:
            conclusion = module.strategy.conclude(own.budgets, tuple, torch.device("cpu"))
        found = hand_over(module, task.network, own.budgets, conclusion, (), torch.device("cpu"))
        costs = recounted(found.network, task.halves.data.input_shape)
        low, high = 1 - target.tolerance, 1 + target.tolerance
        inside = all(
            low * amount.cost(int(full[measure])) <= costs[measure] <= high * amount.cost(int(full[measure]))
            for measure, amount in target.amounts().items()
        )
        try:
            check_kept(target, search_result(own, found, 0.5, 1.0), run)
            ends["met"] += 1
            assert inside, (target, costs)
        except TargetMissedError:
            ends["missed"] += 1
            assert not inside, (target, costs)
    assert ends["met"] >= count / 4 and ends["refused"] >= 1, ends


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet20", "mobilenetv2"])
def test_the_command_ends_well_inside_the_band_alone(
    network: str, asked: Callable[[str], Run], cli: Callable, tmp_path: Path
) -> None:
    run = asked(network)
    full, rng, met = metrics_of(run), random.Random(0), 0
    shape = (1, 8, 8)
    for number in range(4):
        share = rng.uniform(0.2, 0.9)
        measure = ("flops", "params")[number % 2]
        count = share * full[f"{measure}_full"]
        given = (f"{share:.4f}", f"{count / 1e6:.6f}M")[number // 2]
        status, _, err = cli("derive", run.path, f"--{measure}-target", given, "--output", f"{number}")
        assert status in (0, 2, 3), err
        if status == 2:
            assert "no network of this search is inside" in err and not (tmp_path / f"{number}").exists()
            continue
        metrics = metrics_of(Run(tmp_path / f"{number}"))
        assert metrics[f"{measure}_target"] == pytest.approx(share, abs=1e-4)
        inside = 0.95 * count <= recounted(tas.load(tmp_path / f"{number}"), shape)[measure] <= 1.05 * count
        assert inside == metrics["target_met"] == (status == 0)
        met += inside
    assert met >= 2
