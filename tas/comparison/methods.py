"""The methods that a comparison knows: searches, the methods of `tas prune`, and variants of both."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tas.config import CompareOptions
from tas.config.checks import named
from tas.config.functions import is_own
from tas.config.methods import COUNTED_MEASURES, EVERY_MEASURE, METHODS, method_of
from tas.errors import TasError

UNPRUNED = "unpruned"
"""What stands for a method in the results of the unpruned network."""


@dataclass(frozen=True)
class ComparedMethod:
    """A method as a comparison runs it."""

    command: Literal["search", "prune"]
    fixed: Mapping[str, Any]
    """The options of the command that make it this method."""
    varied: Mapping[str, Any] = field(default_factory=dict)
    """Those that a variant has given it."""
    reads: tuple[str, ...] = ()
    """Options of the group `Pruning` that it reads."""
    seedless: bool = False
    """Whether it finds the same network whatever the seed."""
    leaves_zeros: bool = False
    """Whether what it leaves is no smaller network, and is not to be compared with one."""
    measures: tuple[str, ...] = EVERY_MEASURE
    """What it can aim at."""
    several: bool = True
    """Whether it keeps several targets at once."""

    @property
    def is_search(self) -> bool:
        """Whether it searches with a supernet."""
        return self.command == "search"

    def goes_with(self, training: str) -> bool:
        """Whether a way of training has a meaning after it: single weights set to zero leave the structure whole."""
        return not self.leaves_zeros or training.startswith("finetune")

    def saves(self, measures: Iterable[str]) -> bool:
        """Whether it can aim at all of these: single weights set to zero, for one, are parameters still."""
        return set(measures) <= set(self.measures)


def by_pruning(name: str) -> ComparedMethod:
    """A method of `tas prune`, or a function of the user's own."""
    own = method_of(name)
    return ComparedMethod(
        "prune",
        {"method": name},
        reads=own.options,
        seedless=own.seedless,
        leaves_zeros=own.leaves_zeros,
        measures=own.measures,
        several=own.several,
    )


KNOWN = {
    "tas": ComparedMethod("search", {"search": "both"}),
    "tas-width": ComparedMethod("search", {"search": "width"}),
    "tas-depth": ComparedMethod("search", {"search": "depth"}),
} | {name: by_pruning(name) for name in METHODS}
"""Name -> method, without variants."""


def methods_of(options: CompareOptions) -> dict[str, ComparedMethod]:
    """The methods that --methods and --controls may name. TasError if a variant has no usable name or method."""
    found = dict(KNOWN)
    for name, own in (options.variants or {}).items():
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in (*KNOWN, UNPRUNED):
            raise TasError(
                f"--variants: {name!r} cannot be a name; allowed: letters, digits, . _ - and neither a method's name "
                f"nor {UNPRUNED}"
            )
        base = own.get("method")
        if base not in KNOWN and not is_own(str(base)):
            allowed = ", ".join((*KNOWN, "package.module:function"))
            raise TasError(f"--variants: {name} has the method {base!r}; allowed: {allowed}")
        varied = {key: value for key, value in own.items() if key != "method"}
        found[name] = replace(KNOWN[base] if base in KNOWN else by_pruning(str(base)), varied=varied)
    return found


def check_methods(options: CompareOptions) -> None:
    """TasError unless --methods, --controls and --ranked name methods, each once, that can aim at the targets."""
    known = methods_of(options)
    named("methods", options.methods, list(known))
    named("controls", options.controls, list(known), may_be_empty=True)
    searches = [name for name, own in known.items() if own.is_search]
    named("ranked", options.ranking.ranked, searches, may_be_empty=True)
    # What is counted is left out where a method leaves it all in place, and that is said.
    for measure in (one for one in options.targets.amounts() if one not in COUNTED_MEASURES):
        able = [name for name, own in known.items() if measure in own.measures]
        check_able(f"{measure}-targets", options.methods, able)
    if options.targets.together:
        check_able("together", options.methods, [name for name, own in known.items() if own.several])


def check_able(key: str, asked: Iterable[str], able: Collection[str]) -> None:
    """TasError if a method that is asked for is not able to do what an option asks for."""
    unable = [name for name in asked if name not in able]
    if unable:
        raise TasError(f"--{key}: not with --methods {', '.join(unable)}; allowed: {', '.join(able)}")
