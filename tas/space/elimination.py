"""The best networks of a space under many scores at once, by variable elimination and a price on the cost.

A score is a sum over candidates, a cost a sum of tables over two widths and a depth. Once the cost has a price (a
Lagrange multiplier), what is looked for is the maximum of a sum of small tables, which eliminating one choice after
another finds exactly (Bertele & Brioschi 1972, "Nonserial Dynamic Programming"). The price is then moved until the
network costs what it may. That is a network on the convex hull of cost and score: the best one of its own cost, though
a budget may hold a better one of a little more. `Milp` finds that one; here hundreds take as long as one there.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tas.cost.budget import Budget
from tas.space.milp import Array, Scores
from tas.space.space import SearchSpace

LARGEST = 20_000
"""Entries of a table, at most, that elimination may come to; networks that concatenate much have larger ones."""

HALVINGS = 40
"""Of the interval that the price lies in."""


@dataclass(frozen=True)
class Table:
    """A function of a few choices."""

    names: tuple[str, ...]
    values: Array
    """An axis for every name."""


class Elimination:
    """The maximum of scores less a price times a cost, over all networks of a space.

    Args:
        space: The candidates.
        budget: Whose measure is the cost, in units of its target.
    """

    def __init__(self, space: SearchSpace, budget: Budget) -> None:
        self.space = space
        self.budget = budget
        self.choices = {**space.widths, **space.depths}
        self.tables, self.always = cost_tables(space, budget)
        self.order = elimination_order({name: len(c) for name, c in self.choices.items()}, self.tables)
        """The choices, the first to be eliminated first; None where that needs too large tables."""

    def best(self, scores: Mapping[str, Array], prices: Array) -> tuple[Array, dict[str, NDArray[np.int64]]]:
        """The highest values of score - price x cost, (rows,), and each row's candidates, (rows,) for every choice.

        Args:
            scores: Width or stage -> (rows, candidates).
            prices: (rows,).
        """
        assert self.order is not None
        rows = len(prices)
        parts: list[tuple[tuple[str, ...], Array]] = [((name,), scores[name]) for name in self.choices]
        parts += [(t.names, -prices.reshape(-1, *[1] * t.values.ndim) * t.values) for t in self.tables]
        value = -prices * self.always
        choose: list[tuple[str, tuple[str, ...], NDArray[np.int64]]] = []
        for name in self.order:
            mine = [part for part in parts if name in part[0]]
            parts = [part for part in parts if name not in part[0]]
            scope = tuple(dict.fromkeys(other for names, _ in mine for other in names if other != name))
            total = sum_over((*scope, name), mine)
            chosen = total.argmax(-1)
            choose.append((name, scope, chosen))
            left = np.take_along_axis(total, chosen[..., None], -1)[..., 0]
            if scope:
                parts.append((scope, left))
            else:
                value = value + left
        found: dict[str, NDArray[np.int64]] = {}
        every = np.arange(rows)
        for name, scope, chosen in reversed(choose):
            found[name] = chosen[(every, *(found[other] for other in scope))]
        return value, found

    def costs(self, chosen: Mapping[str, NDArray[np.int64]]) -> Array:
        """What networks cost, in units of the target, (rows,)."""
        rows = len(next(iter(chosen.values())))
        parts = [table.values[tuple(chosen[name] for name in table.names)] for table in self.tables]
        return self.always + sum(parts, np.zeros(rows))

    def within(self, scores: Mapping[str, Array]) -> tuple[dict[str, NDArray[np.int64]], Array]:
        """The networks on the hull that cost most of those that do not cost more than the budget.

        Args:
            scores: Width or stage -> (rows, candidates).

        Returns:
            Choice -> the index of the candidate, (rows,); and the prices, (rows,).
        """
        rows = len(next(iter(scores.values())))
        most = self.budget.high / self.budget.target
        spread = sum(float(np.abs(part).max()) for part in scores.values())
        low, high = np.zeros(rows), np.full(rows, 1e-6 + spread)
        _, at_none = self.best(scores, low)
        fits = self.costs(at_none) <= most
        for _ in range(60):  # the price at which the network is small enough
            dear = self.costs(self.best(scores, high)[1]) > most
            if not dear.any():
                break
            high = np.where(dear, 2 * high, high)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            dear = self.costs(self.best(scores, middle)[1]) > most
            low, high = np.where(dear, middle, low), np.where(dear, high, middle)
        _, found = self.best(scores, high)
        found = {name: np.where(fits, at_none[name], found[name]) for name in found}
        return found, np.where(fits, 0.0, high)

    def filled_up(
        self, scores: Mapping[str, Array], chosen: Mapping[str, NDArray[np.int64]]
    ) -> dict[str, NDArray[np.int64]]:
        """Networks with what the budget still allows: one candidate after another that adds the most to the score.

        Args:
            scores: Width or stage -> (rows, candidates).
            chosen: Choice -> the index of its candidate, (rows,); their cost is not above the budget.
        """
        found = {name: indices.copy() for name, indices in chosen.items()}
        rows, most = len(next(iter(found.values()))), self.budget.high / self.budget.target
        changes = [(name, place) for name, candidates in self.choices.items() for place in range(len(candidates))]
        every = np.arange(rows)
        while True:
            gains = np.stack([scores[name][:, place] - scores[name][every, found[name]] for name, place in changes])
            total = np.stack([self.costs({**found, name: np.full(rows, place)}) for name, place in changes])
            gains = np.where((total <= most) & (gains > 1e-12), gains, -np.inf)
            best = gains.argmax(0)
            better = np.flatnonzero(np.isfinite(gains[best, every]))
            if not len(better):
                return found
            for row in better:
                name, place = changes[best[row]]
                found[name][row] = place

    def inside(self, chosen: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
        """Whether each network is inside the budget, (rows,)."""
        cost, target = self.costs(chosen), self.budget.target
        return (self.budget.low / target <= cost) & (cost <= self.budget.high / target)

    def candidates_that_may_win(self, scores: Scores) -> SearchSpace | None:
        """The space without the candidates that the best network inside the budget cannot have; None where no network
        inside is found to hold them against.

        At any price, the maximum over networks with a candidate bounds what such a network inside can score.
        """
        one = {name: part[None] for name, part in scores.items()}
        found, prices = self.within(one)
        found = self.filled_up(one, found)
        if not self.inside(found)[0]:
            return None
        reached = sum(float(scores[name][found[name][0]]) for name in self.choices)
        counts = {name: len(candidates) for name, candidates in self.choices.items()}
        rows = sum(counts.values())
        clamped = {name: np.repeat(part, rows, 0) for name, part in one.items()}
        starts = dict(zip(counts, np.cumsum([0, *counts.values()])))
        for name, count in counts.items():
            for place in range(count):
                clamped[name][starts[name] + place, np.arange(count) != place] = -np.inf
        price = float(prices[0])
        bounds = self.best(clamped, np.full(rows, price))[0] + price * self.budget.high / self.budget.target
        may = bounds >= reached - 1e-7 * (1 + abs(reached))
        left = {
            name: tuple(c for place, c in enumerate(candidates) if may[starts[name] + place])
            for name, candidates in self.choices.items()
        }
        return replace(
            self.space,
            widths={name: left[name] for name in self.space.widths},
            depths={name: left[name] for name in self.space.depths},
        )


def cost_tables(space: SearchSpace, budget: Budget) -> tuple[list[Table], float]:
    """The cost of every network in units of the target: tables of the choices that it depends on, and what is always
    paid. Tables of the same choices are one."""
    merged: dict[tuple[str, ...], Array] = {}
    always = 0.0
    for table in budget.measure.tables(space.plan, space.widths, space.depths):
        values = table.cost.numpy() / budget.target
        names = tuple(end for end in (table.reads, table.writes) if isinstance(end, str))
        values = values.reshape([len(space.widths[name]) for name in names])
        if table.stage is not None:
            paid = np.zeros(len(space.depths[table.stage]))
            paid[list(table.depths)] = 1.0
            names, values = (*names, table.stage), values[..., None] * paid
        if not names:
            always += float(values)
            continue
        order = sorted(range(len(names)), key=lambda axis: names[axis])
        key, values = tuple(names[axis] for axis in order), values.transpose(order)
        merged[key] = merged[key] + values if key in merged else values
    return [without_constant_axes(Table(key, values)) for key, values in merged.items()], always


def without_constant_axes(table: Table) -> Table:
    """The same function of the choices alone on which it depends: what is paid at every depth does not depend on it."""
    names, values = table.names, table.values
    for name in table.names:
        axis = names.index(name)
        first = values.take([0], axis)
        if len(names) > 1 and np.array_equal(values, np.broadcast_to(first, values.shape)):
            names, values = tuple(other for other in names if other != name), first.squeeze(axis)
    return Table(names, values)


def elimination_order(sizes: Mapping[str, int], tables: Sequence[Table]) -> list[str] | None:
    """An order in which the tables stay small: the choice that leaves the smallest one first. None if one is large."""
    near: dict[str, set[str]] = {name: set() for name in sizes}
    for table in tables:
        for name in table.names:
            near[name] |= {*table.names} - {name}
    order = []
    while near:
        entries = {name: sizes[name] * math.prod(sizes[other] for other in near[name]) for name in near}
        name = min(entries, key=lambda one: entries[one])
        if entries[name] > LARGEST:
            return None
        others = near.pop(name)
        for other in others:
            near[other] = (near[other] | others) - {name, other}
        order.append(name)
    return order


def sum_over(names: tuple[str, ...], parts: Sequence[tuple[tuple[str, ...], Array]]) -> Array:
    """The sum of functions of some of these choices, (rows, an axis for every name)."""
    total: Array | None = None
    for own, values in parts:
        axes = sorted(range(len(own)), key=lambda axis: names.index(own[axis]))
        values = values.transpose(0, *(1 + axis for axis in axes))
        shape = iter(values.shape[1:])
        values = values.reshape(len(values), *(next(shape) if name in own else 1 for name in names))
        total = values if total is None else total + values
    assert total is not None, "every choice has its own score"
    return total
