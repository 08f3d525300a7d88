"""Strategies: ways of searching, a file each. A new one is a file here and an entry in STRATEGIES."""

from collections.abc import Callable

from tas.search.strategies.gumbel_mixture import GumbelMixture
from tas.search.strategies.sandwich import Sandwich
from tas.search.strategy import SearchStrategy

STRATEGIES: dict[str, Callable[..., SearchStrategy]] = {"gumbel-mixture": GumbelMixture, "sandwich": Sandwich}
"""Name -> what makes it of (supernet, budgets, recipe, options, seed), as --strategy has it."""
