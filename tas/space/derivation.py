"""From learned distributions and a budget to one architecture.

The architecture handed over is the most probable one inside the budget. That is the argmax of every distribution where
it fits; otherwise a mixed-integer programme finds it.
"""

from tas.architecture import Architecture
from tas.cost.budget import Budget
from tas.cost.count import exact_flops
from tas.cost.tables import Probabilities, cost_tables
from tas.space.milp import Milp
from tas.space.space import SearchSpace


def argmax(space: SearchSpace, widths: Probabilities, depths: Probabilities) -> Architecture:
    """The most probable candidate of every width and depth, whatever it costs; the first of several as probable."""
    return space.choose(
        {name: candidates[int(widths[name].argmax())] for name, candidates in space.widths.items()},
        {name: candidates[int(depths[name].argmax())] for name, candidates in space.depths.items()},
    )


def derive(space: SearchSpace, widths: Probabilities, depths: Probabilities, budget: Budget) -> Architecture:
    """The most probable architecture inside the budget; where the space has none there, the one nearest to its target.

    Whether it is inside is for the caller to ask and to say: `budget.holds(exact_flops(space.plan, architecture))`.

    Args:
        space: The unpruned network and the candidates.
        widths: Width -> the probability of each candidate.
        depths: Stage -> the probability of each candidate.
        budget: What the network may cost.
    """
    plan = space.plan
    likeliest = argmax(space, widths, depths)
    if budget.holds(exact_flops(plan, likeliest)):
        return likeliest
    programme = Milp(space, cost_tables(plan, space.widths, space.depths))
    # The solver may overstep a bound by a millionth, the budget none: then it is asked again for a little less.
    for margin in (0.0, 1e-5):
        found = programme.most_probable(widths, depths, Budget(budget.target, budget.tolerance - margin))
        if found is None or budget.holds(exact_flops(plan, found)):
            break
    return found or programme.nearest(budget.target)


def reachable(space: SearchSpace, target: float) -> tuple[int, ...]:
    """The FLOPs of a space's networks next to a target, ascending: the most below it and the fewest above it, where
    there are such. Quick where few networks cost about as much; elsewhere there is one at nearly any target."""
    programme = Milp(space, cost_tables(space.plan, space.widths, space.depths))
    return tuple(exact_flops(space.plan, found) for found in programme.next_to(target))
