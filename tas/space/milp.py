"""The choice of an architecture as a mixed-integer linear programme (MILP), solved by HiGHS through scipy."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import coo_array, hstack, vstack
from torch import Tensor

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.tables import CostTable, Probabilities, by_part
from tas.reading.plan import Width
from tas.space.space import SearchSpace

log = logging.getLogger(__name__)


Array = NDArray[np.float64]

Scores = Mapping[str, Array]
"""Width or stage -> what each of its candidates adds to the score of a network, (candidates,)."""

TIME_LIMIT = 120.0
"""Seconds for one programme; the best architecture found by then is taken, with a warning. ResNet-110 needs three."""


OUT_OF_TIME = 1
"""scipy.optimize.milp's status at its time limit."""

INFEASIBLE = 2
"""Its status where it is proved that there is no solution."""


class Milp:
    """The choice of one architecture as a mixed-integer linear programme.

    Every candidate is a 0/1 variable. A cost table is a sum over pairs of candidates, so each pair gets a variable that
    is 1 when both are chosen and the table is paid; tying the pairs' row and column sums to the candidates makes that
    linear, and keeps the relaxation tight. Tables of several sums over the same pairs share their variables. A measure
    that is a maximum has several sums, each of which has to keep to its budget.

    Args:
        space: The candidates.
        budgets: What the architecture may cost.
    """

    def __init__(self, space: SearchSpace, budgets: Sequence[Budget]) -> None:
        self.space = space
        self.budgets = budgets
        self.size = 0
        self.rows = Rows()
        self.widths = {name: self.new(len(candidates)) for name, candidates in space.widths.items()}
        self.depths = {name: self.new(len(candidates)) for name, candidates in space.depths.items()}
        self.binaries = self.size
        for choice in (*self.widths.values(), *self.depths.values()):
            self.rows.add(choice, [1.0] * len(choice), 1, 1)
        self.pairs: dict[tuple[object, ...], NDArray[np.int64]] = {}
        tables = [budget.measure.tables(space.plan, space.widths, space.depths) for budget in budgets]
        self.costs = [
            [
                (
                    np.concatenate([self.pair(table).ravel() for table in part]),
                    np.concatenate([table.cost.numpy().ravel() for table in part]),
                )
                for part in by_part(own)
            ]
            for own in tables
        ]
        """For each budget, and each of its sums, the columns that cost something, and what they cost."""

    def new(self, count: int) -> NDArray[np.int64]:
        """The columns of `count` more variables."""
        self.size += count
        return np.arange(self.size - count, self.size)

    def pair(self, table: CostTable) -> NDArray[np.int64]:
        """The variables of one table, (candidates of `reads`, candidates of `writes`), tied to those candidates."""
        key = table.reads, table.writes, table.stage, table.depths
        if key in self.pairs:
            return self.pairs[key]
        joint = self.pairs[key] = self.new(table.cost.numel()).reshape(tuple(table.cost.shape))
        for width, lines in ((table.reads, joint), (table.writes, joint.T)):
            for line, chosen in zip(lines, self.candidates(width)):
                self.rows.add([*line, chosen], [1.0] * len(line) + [-1.0], -np.inf, 0)
        paid = [] if table.stage is None else list(self.depths[table.stage][list(table.depths)])
        always = float(table.stage is None)
        self.rows.add([*joint.ravel(), *paid], [1.0] * joint.size + [-1.0] * len(paid), always, always)
        return joint

    def candidates(self, width: Width) -> Sequence[int] | NDArray[np.int64]:
        """The variables of a width's candidates; a fixed number of channels has none."""
        return [] if isinstance(width, int) else self.widths[width]

    def most_probable(self, widths: Probabilities, depths: Probabilities, margin: float = 0.0) -> Architecture | None:
        """The most probable architecture inside all budgets, each narrower by a margin; None if there is none."""
        return self.best({name: log_of(probabilities) for name, probabilities in {**widths, **depths}.items()}, margin)

    def best(self, scores: Scores, margin: float = 0.0, gap: float = 0.0) -> Architecture | None:
        """The architecture of the highest sum of scores inside all budgets; None if there is none.

        Args:
            scores: Width or stage -> the score of each candidate, (candidates,).
            margin: By which every budget is narrower.
            gap: How far its score may be from the highest, as a share of that; with more than 0 it is found sooner.
        """
        objective = np.zeros(self.size)
        objective[: self.binaries] = -np.concatenate([scores[name] for name in (*self.widths, *self.depths)])
        return self.solve(objective, self.size, *self.inside(margin), gap=gap)

    def any(self, margin: float = 0.0) -> Architecture | None:
        """Some architecture inside all budgets, each narrower by a margin; None if there is none or none was found."""
        return self.solve(np.zeros(self.size), self.size, *self.inside(margin))

    def empty(self) -> bool:
        """Whether it is proved that no architecture is inside all budgets."""
        return bool(self.solved(np.zeros(self.size), self.size, *self.inside()).status == INFEASIBLE)

    def inside(self, margin: float = 0.0) -> list[LinearConstraint]:
        """That the costs of a solution are inside all budgets, each narrower by a margin."""
        return [
            bounded(self.cost_rows(place), budget.low / budget.target, budget.high / budget.target)
            for place, budget in enumerate(budget.narrower(margin) for budget in self.budgets)
        ]

    def nearest(self) -> Architecture:
        """The architecture whose costs are nearest to the targets: the sum of the distances, as shares, is least. What
        is below the target of a maximum is not away from it."""
        # One more variable for each budget, the distance: cost - distance <= target <= cost + distance.
        count = len(self.budgets)
        bounds = []
        for place, budget in enumerate(self.budgets):
            rows = self.cost_rows(place)
            bounds.append(bounded(with_distance(rows, -1.0, place, count), -np.inf, 1))
            if not budget.measure.maximum:
                bounds.append(bounded(with_distance(rows, 1.0, place, count), 1, np.inf))
        objective = np.zeros(self.size + count)
        objective[self.size :] = 1.0
        found = self.solve(objective, self.size + count, *bounds)
        assert found is not None, "every space holds a network, and so one that is nearest"
        return found

    def next_to_target(self, gap: float = 0.0) -> list[Architecture]:
        """By the first budget, inside the others: the architecture of most cost that costs no more than its target,
        then that of least cost that costs no less; one of them where the other does not exist. Of a maximum, which may
        be anything below its target, that of least cost alone. The gap is how far from the nearest they may be, as a
        share of their costs."""
        rows, others = self.cost_rows(0), self.inside()[1:]
        if self.budgets[0].measure.maximum:
            # One more variable, which no sum is above.
            objective = np.eye(1, self.size + 1, self.size)[0]
            most = bounded(with_distance(rows, -1.0, 0, 1), -np.inf, 0)
            beside = [LinearConstraint(with_distance(one.A, 0.0, 0, 1), one.lb, one.ub) for one in others]
            least = self.solve(objective, self.size + 1, most, *beside, gap=gap)
            return [] if least is None else [least]
        cost = rows.toarray()[0]
        below = self.solve(-cost, self.size, bounded(rows, -np.inf, 1), *others, gap=gap)
        above = self.solve(cost, self.size, bounded(rows, 1, np.inf), *others, gap=gap)
        return [found for found in (below, above) if found is not None]

    def cost_rows(self, place: int) -> coo_array:
        """The sums of the budget at a place, of which the largest is the cost of a solution: a row each, in units of
        its target, so that the solver's tolerances fit it."""
        sums, target = self.costs[place], self.budgets[place].target
        return vstack(
            [
                coo_array((costs / target, (np.zeros_like(columns), columns)), shape=(1, self.size))
                for columns, costs in sums
            ],
            format="coo",
        )

    def solve(
        self, objective: NDArray[np.float64], size: int, *constraints: LinearConstraint, gap: float = 0.0
    ) -> Architecture | None:
        """The architecture that minimises the objective, (size,), under the constraints; None if there is none."""
        result = self.solved(objective, size, *constraints, gap=gap)
        if result.status == OUT_OF_TIME:
            log.warning("no proof after %.0f s that the architecture found is the best one", TIME_LIMIT)
        if result.x is None:
            return None
        return self.space.choose(
            {n: self.space.widths[n][int(result.x[columns].argmax())] for n, columns in self.widths.items()},
            {n: self.space.depths[n][int(result.x[columns].argmax())] for n, columns in self.depths.items()},
        )

    def solved(
        self, objective: NDArray[np.float64], size: int, *constraints: LinearConstraint, gap: float = 0.0
    ) -> OptimizeResult:
        """What the solver says of a programme. Arguments as for `solve`."""
        integral = np.zeros(size, dtype=np.int64)
        integral[: self.binaries] = 1
        upper = np.full(size, np.inf)
        upper[: self.size] = 1
        return milp(
            objective,
            constraints=[self.rows.constraint(size), *constraints],
            integrality=integral,
            bounds=Bounds(0, upper),
            options={"time_limit": TIME_LIMIT, "mip_rel_gap": gap},
        )


def bounded(rows: coo_array, low: float, high: float) -> LinearConstraint:
    """That each of these rows is from low to high."""
    return LinearConstraint(rows, np.full(rows.shape[0], low), np.full(rows.shape[0], high))


def with_distance(rows: coo_array, factor: float, place: int, count: int) -> coo_array:
    """The same rows with `count` more columns, of which that at a place has a factor in all of them."""
    more = np.zeros((rows.shape[0], count))
    more[:, place] = factor
    return hstack([rows, coo_array(more)], format="coo")


class Rows:
    """Linear constraints, gathered row by row into a sparse matrix."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, float]] = []
        self.bounds: list[tuple[float, float]] = []

    def add(
        self, columns: Sequence[int] | NDArray[np.int64], factors: Sequence[float], low: float, high: float
    ) -> None:
        """low <= sum of factor x variable <= high."""
        row = len(self.bounds)
        self.entries += [(row, int(column), factor) for column, factor in zip(columns, factors, strict=True)]
        self.bounds.append((low, high))

    def constraint(self, size: int) -> LinearConstraint:
        rows, columns, factors = zip(*self.entries)
        low, high = zip(*self.bounds)
        return LinearConstraint(coo_array((factors, (rows, columns)), shape=(len(self.bounds), size)), low, high)


def log_of(probabilities: Tensor) -> NDArray[np.float64]:
    """Log-probabilities; a candidate that underflowed to 0 stays finite, since a budget may leave no other."""
    return probabilities.detach().double().clamp_min(1e-300).log().cpu().numpy()
