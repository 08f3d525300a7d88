"""What a space holds for its budgets, known before anything is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tas.architecture import Architecture
from tas.cost.budget import Budget, all_hold
from tas.space.controls import balanced_network
from tas.space.milp import Milp
from tas.space.space import SearchSpace

NEARLY_NEXT = 0.01
"""How far from the nearest a cost may be that is told where several budgets cannot be met together, as a share of it:
of ResNet-56 the nearest takes minutes to prove, and one within this seconds."""


@dataclass(frozen=True)
class Shortfall:
    """A budget that no network of a space meets."""

    missed: Budget
    beside: tuple[Budget, ...]
    """Those that it cannot be met together with; empty where it cannot be met alone."""
    reachable: tuple[int, ...]
    """The costs next to its target inside the others, ascending: the most below it and the least above it, where there
    are such; beside others nearly so."""


UNPROVED = "may be met: no proof either way was found in time"
"""What is said of a target where neither is known."""


@dataclass(frozen=True)
class Outlook:
    """The ends of a space, and whether its budgets can be met."""

    space: SearchSpace
    budgets: tuple[Budget, ...]
    networks: Mapping[str, Architecture]
    """smallest; balanced, which the rule of that name gives for the budgets at full depths, inside them or next to
    them; full."""
    sure: bool
    """Whether a network inside all budgets is known."""
    shortfall: Shortfall | None
    """What is proved not to be met; None too where neither was found out in time."""
    otherwise: str = UNPROVED
    """What is said of targets for which nothing is known inside, and that are not refused."""


def outlook(space: SearchSpace, budgets: Sequence[Budget]) -> Outlook:
    """What a space holds for budgets, each of which it has something as small for."""
    balanced = balanced_network(space, budgets, {stage: choices[-1] for stage, choices in space.depths.items()})
    networks = {"smallest": space.smallest(), "balanced": balanced, "full": space.full}
    known = (networks["smallest"], balanced, space.largest())
    sure = any(all_hold(budgets, space.plan, one) for one in known) or has_one_inside(space, budgets)
    return Outlook(space, tuple(budgets), networks, sure, None if sure else shortfall_of(space, budgets))


def has_one_inside(space: SearchSpace, budgets: Sequence[Budget]) -> bool:
    """Whether a network inside all budgets is found."""
    milp = Milp(space, budgets)
    # The solver may overstep a bound by a millionth, the budget none: then it is asked again for a little less.
    found = (milp.any(margin) for margin in (0.0, 1e-5))
    return any(one is not None and all_hold(budgets, space.plan, one) for one in found)


def shortfall_of(space: SearchSpace, budgets: Sequence[Budget]) -> Shortfall | None:
    """The first budget that is proved not to be met, alone or else beside those before it; None if none is."""
    for missed in budgets:
        if Milp(space, [missed]).empty():
            return Shortfall(missed, (), next_to(space, missed, ()))
    for place in range(1, len(budgets)):
        missed, beside = budgets[place], tuple(budgets[:place])
        if Milp(space, [missed, *beside]).empty():
            return Shortfall(missed, beside, next_to(space, missed, beside))
    return None


def next_to(space: SearchSpace, missed: Budget, beside: Sequence[Budget]) -> tuple[int, ...]:
    """The costs of networks next to a budget's target and inside the others, ascending, without duplicates."""
    found = Milp(space, [missed, *beside]).next_to_target(NEARLY_NEXT if beside else 0.0)
    return tuple(dict.fromkeys(missed.cost(space.plan, one) for one in found))
