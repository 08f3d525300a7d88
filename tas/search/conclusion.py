"""What a search comes to: one network, the distributions, and, where scores were measured, how sure it is of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor

from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.cost.tables import Probabilities
from tas.runs.results import Standing
from tas.search.elasticities import TRUST, Posterior, Terms, fit_elasticities
from tas.search.probing import Probe
from tas.space import controls
from tas.space.best import best, best_of_many, count_of
from tas.space.derivation import argmax
from tas.space.space import SearchSpace

OF_SEVERAL = 0.01
"""How far from the highest score the network of several budgets may be, as a share of it: a proof takes long there, and
the scores are less sure than that."""

FOLDS = 5
"""Parts of the probes of which each is predicted from the others."""


@dataclass(frozen=True)
class Conclusion:
    """What a strategy has come to."""

    architecture: Architecture
    """What is handed over."""
    likeliest: Architecture
    """The likeliest candidate of each distribution, together whatever they cost."""
    widths: Probabilities
    depths: Probabilities
    """The distributions."""
    standing: Standing | None = None
    """None where a strategy measures no scores."""
    probes: tuple[Probe, ...] = ()
    """What was measured, from which any budget can be answered."""
    draws: int = 0
    """Of the scores, of which the distributions are shares."""
    seed: int = 0
    """Of the draws."""


class Scored:
    """Scores of all networks of a space, from those of some that were asked.

    Args:
        space: The candidates.
        probes: What a supernet said of networks of it.
        trust: In what it says, from 0 to 1 (`fit_elasticities`).
    """

    def __init__(self, space: SearchSpace, probes: Sequence[Probe], trust: float = TRUST) -> None:
        self.space = space
        self.terms = Terms(space)
        self.probes = list(probes)
        self.matrix = self.terms.matrix([space.full.with_counts(one.widths, one.depths) for one in probes])
        self.losses = np.array([one.loss for one in probes])
        self.posterior: Posterior = fit_elasticities(self.matrix, self.terms.layers, -self.losses, trust)

    def best(self, budgets: Sequence[Budget]) -> Architecture:
        """The network of the highest score inside the budgets; with several of nearly the highest."""
        return best(
            self.space, self.terms.scores(self.posterior.mean), budgets, 0.0 if len(budgets) == 1 else OF_SEVERAL
        )

    def best_by_draws(self, budgets: Sequence[Budget], draws: int, seed: int) -> list[Architecture]:
        """The networks that are best by scores as they may be, one each draw; empty if none inside is found."""
        scores = [self.terms.scores(draw) for draw in self.posterior.draws(draws, seed)]
        return best_of_many(self.space, scores, budgets) if scores else []

    def loss(self, network: Architecture) -> float:
        """The predicted loss of a network."""
        return -(self.posterior.level + float(self.terms.of(network) @ self.posterior.mean))

    def accuracy(self, loss: float) -> float:
        """The accuracy that goes with a loss: a line through those of the networks that were asked."""
        accuracies = np.array([one.accuracy for one in self.probes])
        slope, level = np.polyfit(self.losses, accuracies, 1) if np.ptp(self.losses) > 0 else (0.0, accuracies.mean())
        return float(np.clip(level + slope * loss, 0.0, 1.0))

    def gain(self, network: Architecture, control: Architecture) -> tuple[float, float]:
        """How much lower the loss of a network is predicted than that of another, and the standard error."""
        return self.posterior.difference(self.terms.of(network), self.terms.of(control))

    def controls(self, network: Architecture, budgets: Sequence[Budget]) -> dict[str, Architecture]:
        """What the rules give that ask nothing, at the cost of a network; the same network under one name only."""
        space, budget = self.space, budgets[0]
        # As near to what the network costs as they come; they may be a little outside.
        at = replace(budget, target=float(min(budget.cost(space.plan, network), budget.high)))
        found = {"uniform": controls.uniform_network(space, [at], {s: c[-1] for s, c in space.depths.items()})[0]}
        if any(len(candidates) > 1 for candidates in space.depths.values()):
            found["shallow"] = shallow = controls.shallow_network(space, [at])[0]
            if not all_hold(budgets, space.plan, shallow):
                # Shares of few blocks are far apart; the rule that is most often the best must not be lost by that.
                found["shallow"] = controls.balanced_network(space, budgets, shallow.depths)
        found["balanced"] = controls.balanced_network(space, budgets, {s: c[-1] for s, c in space.depths.items()})
        first = {str(network): name for name, network in reversed(found.items())}
        return {name: network for name, network in found.items() if first[str(network)] == name}

    def standing(self) -> Standing:
        """How sure the scores are, but for what they say of one network."""
        errors = np.sqrt(np.maximum(np.diag(self.posterior.covariance), 0.0))
        r_squared, tau = self.check()
        return Standing(
            probes=len(self.probes),
            r_squared=r_squared,
            tau=tau,
            predicted_gain={},
            control=None,
            elasticities={
                name: (float(mean), float(error))
                for name, mean, error in zip(self.terms.names, self.posterior.mean, errors)
            },
        )

    def check(self) -> tuple[float, float]:
        """R^2 and Kendall's tau of networks that were not in the fit, which here is of what the supernet says alone."""
        places = np.random.default_rng(0).permutation(len(self.losses)) % FOLDS
        predicted = np.zeros_like(self.losses)
        for fold in range(FOLDS):
            out = places == fold
            found = fit_elasticities(self.matrix[~out], self.terms.layers, -self.losses[~out], trust=1.0)
            predicted[out] = -(found.level + self.matrix[out] @ found.mean)
        total = float(((self.losses - self.losses.mean()) ** 2).sum())
        left = float(((self.losses - predicted) ** 2).sum())
        tau = float(kendalltau(predicted, self.losses).statistic)
        return (1 - left / total if total > 0 else 0.0), (tau if math.isfinite(tau) else 0.0)


def conclude(scored: Scored, budgets: Sequence[Budget], draws: int, seed: int) -> Conclusion:
    """The network of the highest score inside the budgets, unless a control is as good, and how sure that is.

    Where no network is inside, it is the nearest to the targets, and compared with no control.

    Args:
        scored: What was learned of the space.
        budgets: What the network may cost.
        draws: Of the scores as they may be: the share of them that choose a candidate is its probability.
        seed: Of the draws.
    """
    space, top = scored.space, scored.best(budgets)
    rules = scored.controls(top, budgets)
    inside = [name for name, control in rules.items() if all_hold(budgets, space.plan, control)]
    strongest = min(inside, key=lambda name: scored.loss(rules[name]), default="")
    met = all_hold(budgets, space.plan, top)
    if not met and inside:  # the programme was out of time, and a rule was not
        top, met = rules[strongest], True
    # Where nothing is inside, the nearest network and the rules cost different things, and none is better than another.
    gains = {name: scored.gain(top, control) for name, control in rules.items()} if met else {}
    as_good = bool(inside) and gains[strongest][0] <= gains[strongest][1]
    widths, depths = distributions(scored, budgets, draws, seed)
    return Conclusion(
        architecture=rules[strongest] if as_good else top,
        likeliest=argmax(space, widths, depths),
        widths=widths,
        depths=depths,
        standing=replace(scored.standing(), predicted_gain=gains, control=strongest if as_good else None),
        probes=tuple(scored.probes),
        draws=draws,
        seed=seed,
    )


def distributions(
    scored: Scored, budgets: Sequence[Budget], draws: int, seed: int
) -> tuple[Probabilities, Probabilities]:
    """Of widths and depths: the share of draws of the scores whose best network has each candidate. As `conclude`."""
    space, found = scored.space, scored.best_by_draws(budgets, draws, seed) or [scored.best(budgets)]
    return (
        {name: shares(candidates, found, name) for name, candidates in space.widths.items()},
        {name: shares(candidates, found, name) for name, candidates in space.depths.items()},
    )


def shares(candidates: Sequence[int], networks: Sequence[Architecture], choice: str) -> Tensor:
    """The share of networks that have each candidate, (candidates,)."""
    counts = torch.zeros(len(candidates))
    for network in networks:
        counts[candidates.index(count_of(network, choice))] += 1
    return counts / len(networks)


def even(candidates: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The distributions of one who knows nothing."""
    return {name: torch.full((len(values),), 1 / len(values)) for name, values in candidates.items()}
