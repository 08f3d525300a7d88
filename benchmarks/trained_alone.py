"""Hold the scores of finished searches against 60 ResNet-20s of half the FLOPs that were each trained alone.

    python benchmarks/trained_alone.py RUN ...
    python benchmarks/trained_alone.py --references

The networks are those of `benchmarks/results/2026-11-25-depth-training-cpu.json`: 20 random ones for each of three
seeds, trained for 10 epochs on half of CIFAR-10 at 16x16, judged on the other half. They are drawn again by their
seeds; the rows have their depths, which are checked. RUN is a search of ResNet-20 with three input channels.

Kendall's tau of the scores with the accuracies is told for each seed, their mean, and pooled, each seed's less its
mean; and the same where the shared weights are trusted less or more than a search trusts them
(`tas.search.elasticities.TRUST`), from nothing but equal elasticities of all layers, 0, to what describes them best, 1.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import kendalltau, pearsonr

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.networks import open_network
from tas.runs.results import SearchResult
from tas.runs.run import Run
from tas.search.conclusion import Scored
from tas.search.elasticities import TRUST, Terms, fit_elasticities
from tas.search.probing import probes_of
from tas.space.milp import Array
from tas.space.of_network import search_space
from tas.space.random_networks import random_architecture
from tas.space.space import SearchSpace

ROWS = Path(__file__).parent / "results" / "2026-11-25-depth-training-cpu.json"
TARGET, TOLERANCE, EACH = 0.5, 0.02, 20
"""Of the networks that were trained, and how many a seed."""

TRUSTS = (0.0, 0.25, TRUST, 0.75, 1.0)
"""In what shared weights say."""


def trained_networks(space: SearchSpace) -> dict[int, list[tuple[Architecture, float]]]:
    """Seed -> its networks, with the accuracy that each reached alone."""
    rows = [row for row in json.loads(ROWS.read_text(encoding="utf-8")) if row["method"] == "mixed-depths"]
    budget = Budget(TARGET * FLOPS.exact(space.plan, space.full), TOLERANCE)
    found = {}
    for row in rows:
        generator, alone = torch.Generator().manual_seed(row["seed"]), row["ranking"][:EACH]
        drawn = [random_architecture(space, [budget], generator) for _ in range(EACH)]
        assert [dict(one.depths) for one in drawn] == [one["depths"] for one in alone], "other networks than those"
        found[row["seed"]] = [(one, judged["val_accuracy"]) for one, judged in zip(drawn, alone)]
    return found


def agreement(scores: list[Array], accuracies: list[Array]) -> dict[str, object]:
    """Kendall's tau and Pearson's r of scores with accuracies, (networks,) for each seed."""
    taus = [float(kendalltau(own, true).statistic) for own, true in zip(scores, accuracies)]
    own, true = (np.concatenate([part - part.mean() for part in parts]) for parts in (scores, accuracies))
    pooled, r = float(kendalltau(own, true).statistic), float(pearsonr(own, true).statistic)
    return {"tau": taus, "mean": float(np.mean(taus)), "pooled": pooled, "r": r}


def left_out(networks: dict[int, list[tuple[Architecture, float]]], terms: Terms) -> dict[str, float]:
    """How well the model tells each network from the fifty-nine others: what there is to see."""
    matrix = np.concatenate([terms.matrix([one for one, _ in own]) for own in networks.values()])
    accuracies = [np.array([accuracy for _, accuracy in own]) for own in networks.values()]
    true = np.concatenate([part - part.mean() for part in accuracies])
    predicted = np.zeros_like(true)
    for place in range(len(true)):
        others = np.arange(len(true)) != place
        found = fit_elasticities(matrix[others], terms.layers, true[others], trust=1.0)
        predicted[place] = found.level + matrix[place] @ found.mean
    tau, r = float(kendalltau(predicted, true).statistic), float(pearsonr(predicted, true).statistic)
    return {"pooled": tau, "r": r}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", help="finished searches of the strategy sandwich")
    parser.add_argument("--references", action="store_true", help="what the sixty themselves say of one another")
    options = parser.parse_args()
    space = search_space(open_network("resnet20", 10), torch.zeros(1, 3, 16, 16))
    networks = trained_networks(space)
    if options.references:
        print(json.dumps({"each left out once": left_out(networks, Terms(space))}))
    for path in options.runs:
        run = Run(path)
        probes, terms = probes_of(run).entries, Terms(space)
        accuracies = [np.array([accuracy for _, accuracy in own]) for own in networks.values()]
        matrices = [terms.matrix([one for one, _ in own]) for own in networks.values()]
        row: dict[str, object] = {"run": run.path.name, "seconds": SearchResult.read(run).seconds}
        for trust in TRUSTS:
            mean = Scored(space, probes, trust).posterior.mean
            row[f"trust {trust:g}"] = agreement([matrix @ mean for matrix in matrices], accuracies)
        print(json.dumps(row))


if __name__ == "__main__":
    main()
