"""From learned distributions and budgets to one architecture.

The architecture handed over is the most probable one inside the budgets. That is the argmax of every distribution where
it fits; otherwise a mixed-integer programme finds it.
"""

from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.cost.tables import Probabilities
from tas.space.milp import Milp
from tas.space.space import SearchSpace


def argmax(space: SearchSpace, widths: Probabilities, depths: Probabilities) -> Architecture:
    """The most probable candidate of every width and depth, whatever it costs; the first of several as probable."""
    return space.choose(
        {name: candidates[int(widths[name].argmax())] for name, candidates in space.widths.items()},
        {name: candidates[int(depths[name].argmax())] for name, candidates in space.depths.items()},
    )


def derive(space: SearchSpace, widths: Probabilities, depths: Probabilities, *budgets: Budget) -> Architecture:
    """The most probable architecture inside all budgets; where the space has none there, the nearest to the targets.

    Whether it is inside is for the caller to ask and to say: `budget.holds(budget.cost(space.plan, architecture))`.

    Args:
        space: The unpruned network and the candidates.
        widths: Width -> the probability of each candidate.
        depths: Stage -> the probability of each candidate.
        budgets: What the network may cost, one for each measure that counts.
    """
    likeliest = argmax(space, widths, depths)
    if all_hold(budgets, space.plan, likeliest):
        return likeliest
    milp = Milp(space, budgets)
    # The solver may overstep a bound by a millionth, the budget none: then it is asked again for a little less.
    for margin in (0.0, 1e-5):
        found = milp.most_probable(widths, depths, margin)
        if found is None or all_hold(budgets, space.plan, found):
            break
    return found or milp.nearest()


def reachable(space: SearchSpace, budget: Budget) -> tuple[int, ...]:
    """The costs of a space's networks next to a budget's target, ascending: the most below it and the least above it,
    where there are such. Quick where few networks cost about as much; elsewhere there is one at nearly any target."""
    return tuple(budget.cost(space.plan, found) for found in Milp(space, [budget]).next_to_target())
