"""The best network inside budgets by scores of widths and depths: exactly for one, nearly for hundreds of scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.space.elimination import Elimination
from tas.space.milp import Array, Milp, Scores
from tas.space.space import SearchSpace

SOLVED = 1 / 8
"""Share of many scores for which a programme is solved where elimination cannot do it."""
MOST_SOLVED = 16
"""How many that is at most."""
CLOSE = 0.03
"""How far the score of such a network may be from the highest, as a share of it."""


def best(space: SearchSpace, scores: Scores, budgets: Sequence[Budget], gap: float = 0.0) -> Architecture:
    """The architecture of the highest score that costs no more than the targets and lies inside all budgets.

    More channels never score less, so that without this limit all would lie at the upper ends of the bands, and have
    more than what is compared with them. Where no architecture is within it, that of the highest score inside the
    budgets; where there is none, the nearest to the targets.

    Args:
        space: The candidates.
        scores: Width or stage -> what each candidate adds, (candidates,).
        budgets: What it may cost.
        gap: How far its score may be from the highest, as a share of that; with more than 0 it is found sooner.
    """
    capped = [budget.at_most() for budget in budgets]
    found = best_inside(space, scores, capped, gap) or best_inside(space, scores, budgets, gap)
    return found or Milp(space, budgets).nearest()


def best_inside(space: SearchSpace, scores: Scores, budgets: Sequence[Budget], gap: float) -> Architecture | None:
    """The architecture of the highest score inside all budgets; None if there is none. Arguments as for `best`."""
    highest = chosen(space, {name: int(part.argmax()) for name, part in scores.items()})
    if all_hold(budgets, space.plan, highest):
        return highest
    reduced = space
    if is_one_sum(budgets):
        elimination = Elimination(space, budgets[0])
        if elimination.order is not None:
            reduced = elimination.candidates_that_may_win(scores) or space
    # Of about 1: the solver takes differences below a millionth for none.
    largest = max((float(np.abs(part).max()) for part in scores.values()), default=0.0) or 1.0
    left = {
        name: scores[name][[candidates.index(one) for one in kept]] / largest
        for (name, candidates), kept in zip(choices_of(space).items(), choices_of(reduced).values())
    }
    milp = Milp(reduced, budgets)
    # The solver may overstep a bound by a millionth, the budget none: then it is asked again for a little less.
    for margin in (0.0, 1e-5):
        found = milp.best(left, margin, gap)
        if found is None or all_hold(budgets, space.plan, found):
            return found
    return None


def best_of_many(space: SearchSpace, scores: Sequence[Scores], budgets: Sequence[Budget]) -> list[Architecture]:
    """For each of many scores a network that is the best by it, or nearly, of those that cost no more than the targets;
    empty if there is none.

    It may cost less than the band: that a score has no use for more does not make it say nothing.

    Args:
        space, budgets: As for `best`.
        scores: Each as for `best`.
    """
    most = [replace(budget, tolerance=1.0, excess=0.0) for budget in budgets]
    rows = {name: np.stack([one[name] for one in scores]) for name in choices_of(space)}
    pool = by_elimination(space, rows, most[0]) if is_one_sum(most) else []
    if not pool:
        milp = Milp(space, most)
        solved = [milp.best(one, gap=CLOSE) for one in scores[: min(MOST_SOLVED, math.ceil(SOLVED * len(scores)))]]
        pool = [found for found in solved if found is not None and all_hold(most, space.plan, found)]
    pool = list({str(one): one for one in pool}.values())
    if not pool:
        return []
    # What is best by one score may be better by another than what was found for that.
    places = {
        name: [candidates.index(count_of(one, name)) for one in pool] for name, candidates in choices_of(space).items()
    }
    totals = sum((rows[name][:, places[name]] for name in rows), np.zeros((len(scores), len(pool))))
    return [pool[place] for place in totals.argmax(1)]


def is_one_sum(budgets: Sequence[Budget]) -> bool:
    """Whether a single sum of tables is bounded, as elimination needs it."""
    return len(budgets) == 1 and not budgets[0].measure.maximum


def by_elimination(space: SearchSpace, rows: Mapping[str, Array], budget: Budget) -> list[Architecture]:
    """Networks inside a budget, each the best or nearly by a row of scores; none where elimination cannot do it."""
    elimination = Elimination(space, budget)
    if elimination.order is None:
        return []
    found, _ = elimination.within(rows)
    found = elimination.filled_up(rows, found)
    return [
        chosen(space, {name: int(indices[row]) for name, indices in found.items()})
        for row in np.flatnonzero(elimination.inside(found))
    ]


def choices_of(space: SearchSpace) -> dict[str, tuple[int, ...]]:
    """All widths and depths, with their candidates."""
    return {**space.widths, **space.depths}


def chosen(space: SearchSpace, places: Mapping[str, int]) -> Architecture:
    """The architecture of the candidates with these indices."""
    return space.choose(
        {name: candidates[places[name]] for name, candidates in space.widths.items()},
        {name: candidates[places[name]] for name, candidates in space.depths.items()},
    )


def count_of(architecture: Architecture, choice: str) -> int:
    """Channels of a width, or blocks of a stage."""
    return architecture.depths[choice] if choice in architecture.depths else architecture.widths[choice]
