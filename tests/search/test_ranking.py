"""Two judgements of the same networks, and how alike they order them."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import tas
from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.measures import exact_flops
from tas.cutting.build import build
from tas.data.images import SearchData
from tas.data.opening import open_data
from tas.errors import TasError
from tas.reading.residuals import tie_residuals
from tas.search.ranking import Judged, forced_loss, judge, kendall_tau, read_judged
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace
from tas.supernet.supernet import Supernet
from tests.spaces import unpruned, plan_of


def test_kendall_tau_counts_pairs_in_the_same_order_less_those_in_the_other():
    losses, accuracies = [0.1, 0.2, 0.3, 0.4], [0.9, 0.7, 0.8, 0.6]
    tau, p_value = kendall_tau([Judged(*pair) for pair in zip(losses, accuracies)])
    assert tau == pytest.approx((5 - 1) / 6) and 0 < p_value < 1
    assert kendall_tau([Judged(loss, -loss) for loss in losses])[0] == pytest.approx(1)
    assert kendall_tau([Judged(loss, loss) for loss in losses])[0] == pytest.approx(-1)
    assert math.isnan(kendall_tau([Judged(1.0, accuracy) for accuracy in accuracies])[0])


def test_what_was_judged_before_an_interruption_is_not_judged_again(tmp_path: Path):
    full = unpruned("resnet20", 10)
    asked: list[int] = []

    def accuracy(architecture: Architecture, number: int) -> float:
        asked.append(number)
        if asked == [0, 1]:
            raise KeyboardInterrupt
        return number / 10

    path = tmp_path / "ranking.json"
    with pytest.raises(KeyboardInterrupt):
        judge([full] * 3, lambda architecture: 1.0, accuracy, path)
    judged = judge([full] * 3, lambda architecture: 2.0, accuracy, path)
    assert asked == [0, 1, 1, 2]
    of = (full.widths, full.depths)
    assert judged == [Judged(1.0, 0.0, *of), Judged(2.0, 0.1, *of), Judged(2.0, 0.2, *of)]
    assert [(row["widths"], row["depths"]) for row in json.loads(path.read_text())] == 3 * [of]
    path.write_text('[{"supernet_loss": 1.0, "val_accuracy": 0.5}]')  # as older versions wrote it
    assert read_judged(path) == [Judged(1.0, 0.5)]

    path.write_text("[{}]")
    with pytest.raises(TasError, match=r"ranking\.json: damaged"):
        judge([full], lambda architecture: 1.0, accuracy, path)


def test_the_forced_loss_is_that_of_the_cut_network_with_statistics_of_its_own():
    torch.manual_seed(0)
    full = unpruned("resnet20", 10, 1)
    space = SearchSpace.of(tie_residuals(plan_of("resnet20", 10, 1, 8)), full)
    halves = SearchData(open_data("digits", "", None, batch_size=64, train_images=300))
    supernet = Supernet(build(full), space, "pad")
    budget = Budget(0.5 * exact_flops(space.plan, full), 0.05)
    drawn = random_architecture(space, budget, torch.Generator().manual_seed(0))
    batches = halves.train_dataloader()["weights"]
    loss = forced_loss(supernet, drawn, batches, halves.val_dataloader(), torch.device("cpu"))
    network = tas.cut(build(full), space.plan, drawn, supernet.weights(drawn)).eval()
    images, labels = (torch.cat(parts) for parts in zip(*halves.val_dataloader()))
    assert loss == pytest.approx(F.cross_entropy(network(images), labels).item(), rel=1e-4)


@pytest.mark.slow
def test_a_search_reports_its_rank_correlation_and_leaves_the_picture(cli: Callable, tmp_path: Path):
    quick = ("--epochs", 1, "--train-images", 200, "--rank-epochs", 1, "--output", "run")
    status, out, _ = cli("search", "--rank", 3, *quick)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert status == 0 and "Kendall's tau" in out
    assert metrics["ranked"] == 3 and -1 <= metrics["kendall_tau"] <= 1
    *random, found = (one.val_accuracy for one in read_judged(tmp_path / "run" / "ranking.json"))
    assert len(random) == 3 and metrics["found_accuracy"] == found
    assert metrics["found_beats"] == sum(accuracy < found for accuracy in random)
    assert metrics["ranked_accuracy_mean"] == pytest.approx(sum(random) / 3)
    assert metrics["ranked_accuracy_best"] == max(random)
    assert f"{found:.2%} on the architecture half, better than {metrics['found_beats']} of 3 random ones" in out
    assert (tmp_path / "run" / "ranking.png").stat().st_size > 5000

    # Another search of the same networks takes their accuracies, trains its own alone, and asks its own supernet.
    others = ("--rank", 3, *quick[:-1])
    status, out, _ = cli("search", *others, "other", "--tau-start", 5, "--lr", 0.05, "--rank-from", "run")
    first, second = (read_judged(tmp_path / name / "ranking.json") for name in ("run", "other"))
    assert status == 0 and "network 1 of 3" not in out
    assert [one.val_accuracy for one in second][:3] == [one.val_accuracy for one in first][:3] and len(second) == 4
    assert [one.supernet_loss for one in second] != [one.supernet_loss for one in first]

    status, _, err = cli("search", *others, "third", "--rank-from", "run", "--rank-lr", 0.05)
    expected = "--rank-from run: that search has rank_lr 0.1, this one 0.05; give the same"
    assert (status, err.strip()) == (2, f"tas search: error: {expected}") and not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--rank-from", "run"), "--rank-from goes with --rank"),
        (("--rank", 3, "--rank-from", "run"), "--rank-from run: not the directory of a finished search with --rank"),
    ],
)
def test_accuracies_of_no_ranking_are_refused(given: tuple[object, ...], message: str, cli: Callable):
    status, _, err = cli("search", *given)
    assert (status, err.strip()) == (2, f"tas search: error: {message}")


def test_one_network_has_no_rank(cli: Callable):
    status, _, err = cli("search", "--rank", 1)
    assert (status, err.strip()) == (2, "tas search: error: --rank is 1; allowed: 0, or 2 and more")
