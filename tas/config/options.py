"""A command's options: groups, and options that are its own; flat for flags, YAML and the config.yaml of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, Self, get_type_hints

import docstring_parser


@dataclass(frozen=True)
class Option:
    """One option of a command."""

    name: str
    kind: Any
    """Its type."""
    default: Any
    explained: str
    """Its docstring, as one line."""
    group: str | None
    """The field of the command's options that holds the group it is in; None: it is the command's own."""
    heading: str
    """What it stands under in --help."""
    where: bool
    """Whether it says where a run is or is computed, not what it is."""
    other_run: bool
    """Whether it names other runs."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the options of all commands share: they are made from, and read as, flat names and values."""

    @classmethod
    @cache
    def listed(cls) -> Mapping[str, Option]:
        """All options of the command by name, group by group; those of its own come last."""
        hints = get_type_hints(cls)
        found: dict[str, Option] = {}
        own: dict[str, Option] = {}
        for entry in fields(cls):
            if is_dataclass(hints[entry.name]):
                found |= listed_of(hints[entry.name], entry.default, entry.name)
        for name, option in listed_of(cls, None, None).items():
            if not is_dataclass(option.kind):
                own[name] = option
        return found | own

    @classmethod
    def of(cls, **values: Any) -> Self:
        """The options with these values, by their flat names; all others have the command's defaults."""
        return cls().changed(**values)

    def changed(self, **values: Any) -> Self:
        """The same with other values, by their flat names. A TypeError names one that is not an option."""
        known, groups = self.listed(), dict[str | None, dict[str, Any]]()
        for name, value in values.items():
            if name not in known:
                raise TypeError(f"{type(self).__name__} has no option {name!r}")
            groups.setdefault(known[name].group, {})[name] = value
        own = groups.pop(None, {})
        new = {group: replace(getattr(self, str(group)), **given) for group, given in groups.items()}
        return replace(self, **own, **new)  # type: ignore[arg-type]  # the keys are names of fields

    def flat(self) -> dict[str, Any]:
        """Name -> value, of all options."""
        return {
            name: getattr(self if option.group is None else getattr(self, option.group), name)
            for name, option in self.listed().items()
        }


def listed_of(holder: type, defaults: Any, group: str | None) -> dict[str, Option]:
    """The options that a class has as its fields.

    Args:
        holder: A group, or a command's options.
        defaults: What has the defaults: an instance of the group; None takes the class's own.
        group: The command's field that holds it.
    """
    hints, explained = get_type_hints(holder), explanations(holder)
    doc = (holder.__doc__ or "").split("\n")[0].rstrip(".")
    return {
        entry.name: Option(
            entry.name,
            hints[entry.name],
            entry.default if defaults is None else getattr(defaults, entry.name),
            explained.get(entry.name, "") + choices(entry.metadata),
            group,
            doc if group else "This command's own",
            bool(entry.metadata.get("where")),
            bool(entry.metadata.get("other_run")),
        )
        for entry in fields(holder)
    }


def choices(metadata: Mapping[str, Any]) -> str:
    """What is allowed, where that is a table of names."""
    return f" One of {', '.join(metadata['choices'])}." if "choices" in metadata else ""


def explanations(holder: type) -> dict[str, str]:
    """Field -> its docstring, inherited fields included."""
    found: dict[str, str] = {}
    for base in reversed(holder.__mro__[:-1]):
        parsed = docstring_parser.parse_from_object(base)
        found |= {param.arg_name: " ".join((param.description or "").split()) for param in parsed.params}
    return found
