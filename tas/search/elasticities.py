"""What each width and each depth is worth: a log-linear model of how good networks are, and how sure it is.

score(network) = a + sum over kept widths of e_l log(w_l / W_l) + sum over steps of depth of f_s log(d / d'), where W_l
is the full width, and a step goes from d' blocks of a stage down to d. e and f are elasticities: what a share of the
channels or blocks is worth. What a block that is left out would have said by its widths is left out.

A network is worth what its layers are: an elasticity is that of one layer times the layers that it stands for. For each
layer it is drawn toward a common value, which the data set, by as much as the data leave it open (empirical Bayes) and
by as little as shared weights are to be trusted. With equal elasticities of all layers the best network inside a budget
is `balanced`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.optimize import minimize_scalar

from tas.architecture import Architecture
from tas.reading.plan import Plan
from tas.space.controls import layers_of_widths
from tas.space.milp import Array
from tas.space.space import SearchSpace

SPREADS = (1e-3, 1e3)
"""Between what the spread of the elasticities is looked for, in units of the noise."""

TRUST = 0.5
"""How much of what shared weights say of an elasticity, beyond the common value, is also true of networks that are each
trained alone, and not of these weights only. Half: two published supernets and one of ours judge networks that were
trained alone better so than believed whole (docs/experiments/2026-11-27-sandwich.md, with the figures)."""

LEAST = 1e-3
"""The least elasticity of a layer, as a share of their mean: that channels are worth nothing is noise, and of networks
alike the one that has more of them is meant."""


class Terms:
    """The terms of the log-linear model of one space: a width each, and a step of depth each.

    Args:
        space: The candidates; what is not searched has no term.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        homes = blocks_of_widths(space.plan)
        self.widths = {name: homes[name] for name, candidates in space.widths.items() if len(candidates) > 1}
        """Width -> the blocks that it stands in; none: it is always there."""
        self.steps = [
            (stage, fewer, more) for stage, candidates in space.depths.items() for fewer, more in pairwise(candidates)
        ]
        """Stage, and the two depths between which a step goes."""
        self.names = [*self.widths, *(f"{stage} {more} to {fewer}" for stage, fewer, more in self.steps)]
        depths = space.full.depths
        layers = layers_of_widths(space.plan, depths)
        behind = [*(layers[name] for name in self.widths), *(depths[stage] for stage, _, _ in self.steps)]
        self.layers = np.array(behind, dtype=float)
        """The layers that a term stands for, (terms,): those that have the width. A step of depth stands for one layer
        of each block of its stage: a share of the blocks is worth as much as that share of its channels."""

    def of(self, architecture: Architecture) -> Array:
        """What each elasticity is multiplied by in the score of an architecture, (terms,); 0 for the unpruned one."""
        full, depths = self.space.full.widths, architecture.depths
        widths = [
            math.log(architecture.widths[name] / full[name]) if is_kept(homes, depths) else 0.0
            for name, homes in self.widths.items()
        ]
        # Of numbers between two candidates, a part of the step.
        steps = [math.log(min(max(depths[stage], fewer), more) / more) for stage, fewer, more in self.steps]
        return np.array([*widths, *steps])

    def matrix(self, architectures: Sequence[Architecture]) -> Array:
        """A row for each architecture, (architectures, terms)."""
        return np.array([self.of(architecture) for architecture in architectures]).reshape(
            len(architectures), len(self.names)
        )

    def scores(self, elasticities: Array) -> dict[str, Array]:
        """Width or stage -> what each candidate adds to the score, 0 for the full one, less for fewer.

        Nothing is gained by the width of a block that is left out.

        Args:
            elasticities: (terms,).
        """
        found: dict[str, Array] = {}
        some = dict(zip(self.names, self.at_least(elasticities)))
        for name, candidates in self.space.widths.items():
            found[name] = some.get(name, 0.0) * np.log(np.array(candidates) / candidates[-1])
        for stage, candidates in self.space.depths.items():
            worth = np.zeros(len(candidates))
            for place in range(len(candidates) - 2, -1, -1):
                fewer, more = candidates[place], candidates[place + 1]
                worth[place] = worth[place + 1] + some[f"{stage} {more} to {fewer}"] * math.log(fewer / more)
            found[stage] = worth
        return found

    def at_least(self, elasticities: Array) -> Array:
        """Elasticities as networks are chosen by them, (terms,): above 0."""
        if not len(self.layers):
            return elasticities
        return np.maximum(elasticities, LEAST * np.abs(elasticities / self.layers).mean() * self.layers)


def blocks_of_widths(plan: Plan) -> dict[str, tuple[tuple[str, int], ...]]:
    """Width -> stage and number of each block that it stands in; empty where it is there at every depth."""
    found: dict[str, set[tuple[str | None, int]]] = {name: set() for name in plan.widths}
    for layer in plan.layers:
        if layer.writes.source in found and not layer.if_unequal:
            found[str(layer.writes.source)].add((layer.stage, layer.block))
    return {
        name: tuple((str(stage), block) for stage, block in sorted(homes, key=str))
        if all(stage is not None for stage, _ in homes)
        else ()
        for name, homes in found.items()
    }


def is_kept(homes: Sequence[tuple[str, int]], depths: Mapping[str, int]) -> bool:
    """Whether any of the blocks that a width stands in is kept."""
    return not homes or any(depths[stage] > block for stage, block in homes)


@dataclass(frozen=True)
class Posterior:
    """What is known of the elasticities: a normal distribution."""

    mean: Array
    """(terms,)."""
    covariance: Array
    """(terms, terms)."""
    noise: float
    """Standard deviation of what the model leaves open of a network's score."""
    level: float
    """Score of the unpruned network."""
    common: float
    """The value that the elasticities of single layers are drawn to."""

    def difference(self, first: Array, second: Array) -> tuple[float, float]:
        """How much better the first of two networks is, and the standard error of that.

        Args:
            first, second: Their terms, (terms,).
        """
        apart = first - second
        return float(apart @ self.mean), math.sqrt(max(0.0, float(apart @ self.covariance @ apart)))

    def draws(self, count: int, seed: int) -> Array:
        """So many elasticities as they may be, (count, terms); a function of the arguments."""
        size = len(self.mean)
        if not size:
            return np.zeros((count, 0))
        root = cholesky(self.covariance + 1e-12 * np.trace(self.covariance) / size * np.eye(size), lower=True)
        return self.mean + np.random.default_rng(seed).standard_normal((count, size)) @ root.T


def fit_elasticities(terms: Array, layers: Array, scores: Array, trust: float = TRUST) -> Posterior:
    """The elasticities that networks and their scores speak for.

    A linear mixed model: level and the common elasticity of a layer are fixed effects, each one's deviation is a random
    one. Their spread, against the noise, is what makes the scores likeliest (REML: Patterson & Thompson 1971). Of a
    deviation, the share `trust` of the variance is what is looked for, the rest is the supernet's own.

    Args:
        terms: Of each network, (networks, terms).
        layers: That each term stands for, (terms,).
        scores: Of each network, (networks,); higher is better.
        trust: From 0, only the common elasticity counts, to 1, what describes the scores best.
    """
    count = len(layers)
    random = terms * layers
    fixed = np.column_stack([np.ones(len(terms)), *([random.sum(1)] if count else [])])
    model = Mixed(fixed, random, scores)
    spread = model.likeliest_spread()
    effects, covariance, noise = model.effects(spread)
    # An elasticity is, for each layer, the common value and the trusted part of its own deviation.
    size = fixed.shape[1]
    join = np.concatenate([np.zeros((count, 1)), np.ones((count, size - 1)), trust * np.eye(count)], 1)
    join *= layers[:, None]
    own = trust * (1 - trust) * (spread * noise * layers) ** 2
    return Posterior(
        mean=join @ effects,
        covariance=join @ covariance @ join.T + np.diag(own),
        noise=noise,
        level=float(effects[0]),
        common=float(effects[1]) if count else 0.0,
    )


class Mixed:
    """y = X b + Z u + noise, with u normal around 0 with one spread, and a flat prior of b.

    Args:
        fixed: X, (rows, fixed effects).
        random: Z, (rows, random effects).
        y: (rows,).
    """

    def __init__(self, fixed: Array, random: Array, y: Array) -> None:
        self.fixed = fixed
        self.random = random
        self.y = y
        self.product = random @ random.T

    def likeliest_spread(self) -> float:
        """The spread of the random effects in units of the noise."""
        low, high = map(math.log, SPREADS)
        # There may be two valleys: a grid finds the deeper one.
        grid = np.linspace(low, high, 29)
        place = int(np.argmin([self.surprise(at) for at in grid]))
        bounds = grid[max(0, place - 1)], grid[min(len(grid) - 1, place + 1)]
        return math.exp(minimize_scalar(self.surprise, bounds=bounds, method="bounded").x)

    def surprise(self, log_spread: float) -> float:
        """Minus the restricted log-likelihood, the noise at its best value, up to a constant."""
        rows, size = self.fixed.shape
        inner = np.eye(rows) + math.exp(2 * log_spread) * self.product
        factor = cho_factor(inner, lower=True)
        solved = cho_solve(factor, self.fixed)
        information = self.fixed.T @ solved + 1e-9 * np.eye(size)
        effects = np.linalg.solve(information, solved.T @ self.y)
        left = self.y - self.fixed @ effects
        variance = max(float(left @ cho_solve(factor, left)) / max(1, rows - size), 1e-18)
        determinant = 2 * float(np.log(np.diag(factor[0])).sum()) + float(np.linalg.slogdet(information)[1])
        return 0.5 * (determinant + (rows - size) * math.log(variance))

    def effects(self, spread: float) -> tuple[Array, Array, float]:
        """Fixed and random effects, (effects,), their covariance, and the standard deviation of the noise."""
        rows, size = self.fixed.shape
        design = np.concatenate([self.fixed, self.random], 1)
        # Henderson's mixed-model equations, in units of the noise. A very wide prior holds what the data leave open, as
        # the common elasticity of one term.
        precision = np.concatenate([np.full(size, 1e-9), np.full(self.random.shape[1], spread**-2)])
        inverse = np.linalg.inv(design.T @ design + np.diag(precision))
        effects = inverse @ design.T @ self.y
        left = self.y - design @ effects
        # REML's estimate at this spread: y'(y - fitted) / (rows - fixed effects).
        variance = max(float(self.y @ left) / max(1, rows - size), 1e-18)
        return effects, variance * inverse, math.sqrt(variance)
