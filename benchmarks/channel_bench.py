"""Hold a search's scores against 16,384 trained networks: the MobileNet half of Channel-Bench-Macro.

    python benchmarks/channel_bench.py --table FILE --data-dir IMAGES --output DIR --iterations 40000
    python benchmarks/channel_bench.py --table FILE --references

FILE is a CSV, gzipped or not, with the columns widths (seven digits, quarters of the full widths), accuracy1,
accuracy2, accuracy3, macs and what other judges said of each network, a column a judge (Su et al. 2022, arXiv
2203.13714; no licence is stated, so it is not here). IMAGES is a folder with train/CLASS and test/CLASS of CIFAR-10.

The table's network is searched by `tas search`, once, with the target of half its FLOPs. Then, among the networks of
25, 35 and 50 % of the FLOPs (+-2 %): Kendall's tau of the scores with the truth, and how much better the network of the
highest score is than their mean, in points; and how much better the network that is handed over is, which may be a
rule's. The truth is the mean of three trainings, smoothed by a sum over widths
and pairs of widths, whose residuals are as large as the three trainings' noise. An interrupted search is gone on with
by the same command; DIR keeps it.
"""

import argparse
import csv
import gzip
import json
import math
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau
from table_mobilenet import WIDTHS, MobileNet

from tas.architecture import Architecture
from tas.commands.search import search_in
from tas.config import SearchOptions
from tas.config.files import read_yaml, recipe
from tas.config.parsing import from_values
from tas.cost.budget import Budget
from tas.cost.measures import FLOPS
from tas.runs.provenance import code_version
from tas.runs.results import SearchResult
from tas.runs.run import Run
from tas.search.conclusion import Scored, conclude
from tas.search.elasticities import TRUST, Terms, fit_elasticities
from tas.search.probing import probes_of
from tas.search.scores import scores_of_search
from tas.search.task import reopen_search
from tas.space.of_network import search_space

Array = NDArray[np.float64]

BANDS = (0.25, 0.35, 0.5)
"""Shares of the FLOPs."""

HALF_WIDTH = 0.02
"""Of a band, as a share of it."""

FEW = 30
"""Networks of which random search takes the best, and to which the log-linear model is fitted."""

DRAWS = 50
"""Of the scores, where a search is asked for the network of a band."""

REPEATS = 200
"""Draws of these."""

IMAGES = 50_000
"""Training images of CIFAR-10."""


@dataclass(frozen=True)
class Table:
    """The trained networks."""

    digits: NDArray[np.int64]
    """(networks, 7): quarters of the full widths."""
    accuracies: Array
    """(networks, trainings), in per cent."""
    truth: Array
    """(networks,): their mean, smoothed."""
    macs: Array
    judges: dict[str, Array]
    """What others said of each network; not a number where they said nothing."""

    @classmethod
    def read(cls, path: Path) -> "Table":
        """From a CSV file."""
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            rows = list(csv.DictReader(file))
        digits = np.array([[int(digit) for digit in row["widths"]] for row in rows])
        trainings = [key for key in rows[0] if key.startswith("accuracy")]
        accuracies = np.array([[float(row[key]) for key in trainings] for row in rows])
        others = [key for key in rows[0] if key not in ("widths", "macs", "params", *trainings)]
        judges = {key: np.array([float(row[key] or "nan") for row in rows]) for key in others}
        macs = np.array([float(row["macs"]) for row in rows])
        return cls(digits, accuracies, smoothed(digits, accuracies.mean(1)), macs, judges)

    def band(self, share: float) -> NDArray[np.int64]:
        """The networks of a share of the FLOPs."""
        return np.flatnonzero(np.abs(self.macs / self.macs.max() / share - 1) <= HALF_WIDTH)


def smoothed(digits: NDArray[np.int64], values: Array) -> Array:
    """Values as a sum over digits and pairs of digits, by least squares."""
    parts = [digits[:, [place]] == np.arange(1, 4) for place in range(digits.shape[1])]
    pairs = [(a[:, :, None] & b[:, None]).reshape(len(digits), -1) for a, b in combinations(parts, 2)]
    design = np.concatenate([np.ones((len(digits), 1)), *parts, *pairs], 1).astype(float)
    return design @ np.linalg.lstsq(design, values, rcond=None)[0]


def judged(table: Table, scores: Array) -> dict[str, list[float]]:
    """Of each band: tau of scores with the truth, and the pick's gain over the mean; networks without one left out."""
    result = {}
    for share in BANDS:
        band = table.band(share)
        band = band[np.isfinite(scores[band])]
        truth, own = table.truth[band], scores[band]
        best = own == own.max()  # of several alike, their mean
        result[f"{share:g}"] = [float(kendalltau(own, truth).statistic), float(truth[best].mean() - truth.mean())]
    return result


def references(table: Table) -> dict[str, dict[str, list[float]]]:
    """The same of rules, of random search, of the judges, and of the log-linear model fitted to their word on a few."""
    logs, generator, layers = np.log(table.digits / 4), np.random.default_rng(0), layers_of_terms()
    spread = (table.digits - 4 * np.sqrt(table.macs / table.macs.max())[:, None]) ** 2
    found = {
        "best there is": judged(table, table.truth),
        "uniform": judged(table, -spread.sum(1)),
        "balanced": judged(table, logs @ layers),
        "balanced, each width once": judged(table, logs.sum(1)),
        f"best of {FEW}, each trained once": random_search(table, generator),
        "one training of each": judged(table, table.accuracies[:, 0]),
    }
    for name, said in (*table.judges.items(), ("one training", table.accuracies[:, 0])):
        if name in table.judges:
            found[name] = judged(table, said)
        known = np.flatnonzero(np.isfinite(said))
        chosen = [generator.choice(known, FEW, replace=False) for _ in range(REPEATS // 4)]
        for trust in (TRUST, 1.0):
            fits = []
            for few in chosen:
                model = fit_elasticities(logs[few], layers, said[few], trust)
                fits.append(judged(table, logs @ np.maximum(model.mean, 0.0)))
            found[f"log-linear, {FEW} by {name}, trust {trust:g}"] = {
                band: [float(np.mean([one[band][place] for one in fits])) for place in range(2)] for band in fits[0]
            }
    return found


def layers_of_terms() -> Array:
    """How many layers have each of the table's widths, (7,)."""
    terms = Terms(search_space(MobileNet(10, 3), torch.zeros(1, 3, 32, 32), ratios=(0.25, 0.5, 0.75, 1.0)))
    layers = dict(zip(terms.names, terms.layers))
    return np.array([layers[name] for name in WIDTHS])


def random_search(table: Table, generator: np.random.Generator) -> dict[str, list[float]]:
    """The mean gain of the best of a few networks of a band, by one training of each; it has no tau."""
    result = {}
    for share in BANDS:
        band, gains = table.band(share), []
        for _ in range(REPEATS):
            few = generator.choice(band, FEW, replace=False)
            pick = few[table.accuracies[few, 0].argmax()]
            gains.append(float(table.truth[pick] - table.truth[band].mean()))
        result[f"{share:g}"] = [math.nan, float(np.mean(gains))]
    return result


def searched(options: argparse.Namespace) -> tuple[Run, SearchOptions]:
    """The search, finished: done now, gone on with, or found."""
    run = Run(options.output, go_on=True)
    if run.config.is_file():
        given = from_values("search", SearchOptions, read_yaml(str(run.config), run.config))
    else:
        paper = recipe("--strategy", "paper", "search", SearchOptions.listed()) if options.strategy == "paper" else {}
        strategy = "gumbel-mixture" if options.strategy == "paper" else options.strategy
        seen = IMAGES * (1 - SearchOptions().strategy.held_out if strategy == "sandwich" else 0.5)
        epochs = max(1, round(options.iterations * options.batch_size / seen))
        given = SearchOptions.of(
            **paper
            | {
                "network": "table_mobilenet:MobileNet",
                "data": "folder",
                "data_dir": str(options.data_dir),
                "image_size": options.image_size,
                "ratios": (0.25, 0.5, 0.75, 1.0),
                "strategy": strategy,
                "epochs": epochs,
                "batch_size": options.batch_size,
                "lr": options.lr,
                "seed": options.seed,
                "precision": options.precision,
                "accelerator": options.accelerator,
                "output": str(options.output),
            }
        )
    if not run.finished():
        search_in(given, run)
    return run, given


def row_of(run: Run, options: SearchOptions, table: Table) -> dict[str, object]:
    """What was measured of a search."""
    task, module = reopen_search(run)
    space, result = task.space, run_result(run)

    def network(digits: NDArray[np.int64]) -> Architecture:
        widths = {name: space.widths[name][digit - 1] for name, digit in zip(WIDTHS, digits, strict=True)}
        return space.choose(widths, {})

    networks = [network(row) for row in table.digits]
    bands = judged(table, scores_of_search(run, module, networks))
    probes, places = probes_of(run).entries, {str(one): place for place, one in enumerate(networks)}
    scored = Scored(space, probes) if probes else None
    for share in BANDS:
        budgets = [Budget(share * task.full(FLOPS), HALF_WIDTH)]
        if scored:
            found = conclude(scored, budgets, DRAWS, options.keeping.seed)
        else:
            found = module.strategy.conclude(budgets, tuple, torch.device("cpu"))
        own, band = table.truth[places[str(found.architecture)]], table.band(share)
        bands[f"{share:g}"].append(float(own - table.truth[band].mean()))
    return {
        "strategy": options.strategy.strategy,
        "align": options.strategy.align,
        "epochs": options.recipe.epochs,
        "batch_size": options.recipe.batch_size,
        "image_size": options.dataset.image_size,
        "lr": options.recipe.lr,
        "seed": options.keeping.seed,
        "seconds": result.seconds,
        "commit": code_version(),
        "bands": bands,
    }


def run_result(run: Run) -> SearchResult:
    """The record of a finished search."""
    result = SearchResult.read(run)
    assert isinstance(result, SearchResult)
    return result


def show(name: str, bands: dict[str, list[float]]) -> None:
    """A line of the table."""
    cells = [
        " ".join([f"{tau:5.2f}" if math.isfinite(tau) else "    -", *(f"{gain:+5.2f}" for gain in gains)])
        for tau, *gains in bands.values()
    ]
    print(f"{name:<48}{'   '.join(cells)}")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True, help="CSV file of the trained networks")
    parser.add_argument("--references", action="store_true", help="only what needs no search")
    parser.add_argument("--data-dir", type=Path, help="folder of CIFAR-10's images")
    parser.add_argument("--output", type=Path, help="directory of the search")
    parser.add_argument("--iterations", type=int, default=40_000, help="steps; brought to whole epochs")
    parser.add_argument("--strategy", default="sandwich", choices=("sandwich", "gumbel-mixture", "paper"))
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--json", action="store_true", help="print the row alone")
    options = parser.parse_args()
    table = Table.read(options.table)
    if options.references:
        print(f"{'':<48}{'   '.join(f'{share:>11.0%}' for share in BANDS)}   (tau, gain)")
        for name, bands in references(table).items():
            show(name, bands)
        return
    if options.data_dir is None or options.output is None:
        parser.error("--data-dir and --output are missing")
    sys.path.insert(0, str(Path(__file__).parent))  # of the network
    with redirect_stdout(sys.stderr):  # its summary
        run, given = searched(options)
    row = row_of(run, given, table)
    if options.json:
        print(json.dumps(row))
    else:
        show(f"{given.strategy.strategy}, {given.recipe.epochs} epochs", row["bands"])


if __name__ == "__main__":
    main()
