"""What each width and each depth is worth: a log-linear model of how good networks are, and how sure it is.

score(network) = a + sum over kept widths of e_l log(w_l / W_l) + sum over steps of depth of f_s log(d / d'), where W_l
is the full width, and a step goes from d' blocks of a stage down to d. e and f are elasticities: what a share of the
channels or blocks is worth. What a block that is left out would have said by its widths is left out.

Each kind of elasticity is drawn toward a common value, which the data set, by as much as the data leave it open
(empirical Bayes). With equal elasticities the best network inside a budget is the one with the largest sum of log
widths, `balanced`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.optimize import minimize

from tas.architecture import Architecture
from tas.reading.plan import Plan
from tas.space.milp import Array
from tas.space.space import SearchSpace

SPREADS = (1e-3, 1e3)
"""Between what the spread of the elasticities of a kind is looked for, in units of the noise."""


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
        self.kinds = np.array([0] * len(self.widths) + [1] * len(self.steps))
        """0 for a width, 1 for a step of depth."""

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
        """Width or stage -> what each candidate adds to the score, 0 for the full one.

        A negative elasticity counts as none: that fewer channels or blocks are better is noise. So what a width adds is
        at most 0, and nothing is gained by the width of a block that is left out.

        Args:
            elasticities: (terms,).
        """
        found: dict[str, Array] = {}
        some = dict(zip(self.names, np.maximum(elasticities, 0.0)))
        for name, candidates in self.space.widths.items():
            found[name] = some.get(name, 0.0) * np.log(np.array(candidates) / candidates[-1])
        for stage, candidates in self.space.depths.items():
            worth = np.zeros(len(candidates))
            for place in range(len(candidates) - 2, -1, -1):
                fewer, more = candidates[place], candidates[place + 1]
                worth[place] = worth[place + 1] + some[f"{stage} {more} to {fewer}"] * math.log(fewer / more)
            found[stage] = worth
        return found


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
    common: tuple[float, float]
    """The value that the widths' elasticities are drawn to, and that of the depths'."""

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


def fit_elasticities(terms: Array, kinds: NDArray[np.int64], scores: Array) -> Posterior:
    """The elasticities that networks and their scores speak for.

    A linear mixed model: level and common elasticities are fixed effects, each one's deviation from its kind's is a
    random one. The spread of a kind, against the noise, is what makes the scores likeliest (REML: Patterson & Thompson
    1971).

    Args:
        terms: Of each network, (networks, terms).
        kinds: Of each term, (terms,).
        scores: Of each network, (networks,); higher is better.
    """
    present = [kind for kind in (0, 1) if (kinds == kind).any()]
    sums = np.stack([terms[:, kinds == kind].sum(1) for kind in present], 1) if present else terms[:, :0]
    fixed = np.column_stack([np.ones(len(terms)), sums])
    model = Mixed(fixed, [terms[:, kinds == kind] for kind in present], scores)
    spreads = model.likeliest_spreads()
    effects, covariance, noise = model.effects(spreads)
    # An elasticity is its kind's common value and its own deviation.
    size, count = fixed.shape[1], len(kinds)
    join = np.zeros((count, size + count))
    for place, kind in enumerate(present):
        join[kinds == kind, 1 + place] = 1.0
    order = np.concatenate([np.flatnonzero(kinds == kind) for kind in present]) if present else np.zeros(0, int)
    join[order, size + np.arange(count)] = 1.0
    common = [float(effects[1 + present.index(kind)]) if kind in present else 0.0 for kind in (0, 1)]
    return Posterior(
        mean=join @ effects,
        covariance=join @ covariance @ join.T,
        noise=noise,
        level=float(effects[0]),
        common=(common[0], common[1]),
    )


class Mixed:
    """y = X b + sum_k Z_k u_k + noise, with u_k normal around 0 with a spread for each k, and a flat prior of b.

    Args:
        fixed: X, (rows, fixed effects).
        random: Z_k, (rows, effects of that kind) each.
        y: (rows,).
    """

    def __init__(self, fixed: Array, random: Sequence[Array], y: Array) -> None:
        self.fixed = fixed
        self.random = list(random)
        self.y = y
        self.products = [part @ part.T for part in self.random]

    def likeliest_spreads(self) -> Array:
        """The spread of each kind in units of the noise, (kinds,)."""
        if not self.random:
            return np.zeros(0)
        low, high = map(math.log, SPREADS)
        starts = [np.full(len(self.random), math.log(start)) for start in (0.1, 1.0)]
        found = [
            minimize(self.surprise, start, method="L-BFGS-B", bounds=[(low, high)] * len(self.random))
            for start in starts
        ]
        return np.exp(min(found, key=lambda one: float(one.fun)).x)

    def surprise(self, log_spreads: Array) -> float:
        """Minus the restricted log-likelihood, the noise at its best value, up to a constant."""
        rows, size = self.fixed.shape
        inner = np.eye(rows)
        for spread, product in zip(np.exp(log_spreads), self.products):
            inner += spread**2 * product
        factor = cho_factor(inner, lower=True)
        solved = cho_solve(factor, self.fixed)
        information = self.fixed.T @ solved + 1e-9 * np.eye(size)
        effects = np.linalg.solve(information, solved.T @ self.y)
        left = self.y - self.fixed @ effects
        variance = max(float(left @ cho_solve(factor, left)) / max(1, rows - size), 1e-18)
        determinant = 2 * float(np.log(np.diag(factor[0])).sum()) + float(np.linalg.slogdet(information)[1])
        return 0.5 * (determinant + (rows - size) * math.log(variance))

    def effects(self, spreads: Array) -> tuple[Array, Array, float]:
        """Fixed and random effects, (effects,), their covariance, and the standard deviation of the noise."""
        rows, size = self.fixed.shape
        design = np.concatenate([self.fixed, *self.random], 1)
        # Henderson's mixed-model equations, in units of the noise. A very wide prior holds what the data leave open, as
        # the common elasticity of a kind of one term.
        precision = np.concatenate(
            [np.full(size, 1e-9), *(np.full(part.shape[1], s**-2) for part, s in zip(self.random, spreads))]
        )
        inverse = np.linalg.inv(design.T @ design + np.diag(precision))
        effects = inverse @ design.T @ self.y
        left = self.y - design @ effects
        # REML's estimate at these spreads: y'(y - fitted) / (rows - fixed effects).
        variance = max(float(self.y @ left) / max(1, rows - size), 1e-18)
        return effects, variance * inverse, math.sqrt(variance)
