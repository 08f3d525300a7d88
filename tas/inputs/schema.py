"""Values of JSON as instances of dataclasses, checked against the types of their fields."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Shaped = TypeVar("Shaped")


def made_of_json(kind: type[Shaped], value: Any, key: str = "") -> Shaped:
    """An instance of a dataclass. Lists stand for tuples, too, and whole numbers for any.

    Args:
        kind: The dataclass. Fields are of plain types, of lists, tuples and mappings of these, or of dataclasses.
        value: A value of JSON.
        key: Where it stands, for errors.

    Raises:
        ValueError: It is no such instance; the message names the key.
    """
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise ValueError(f"{key or 'it'} must have keys: {', '.join(known)}")
    for name in value:
        if name not in known:
            raise ValueError(f"{within(key, name)} is not known")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{within(key, name)} is missing")
    return kind(**{name: checked_value(hints[name], item, within(key, name)) for name, item in value.items()})


def checked_value(kind: Any, value: Any, key: str) -> Any:
    """A value of JSON as a type has it. ValueError, naming the key, if it is of another."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        inner = [part for part in parts if part is not types.NoneType]
        if value is None and len(inner) < len(parts):
            return None
        return checked_value(inner[0], value, key)  # no field is of several types
    if kind is Any:
        return value
    if is_dataclass(kind):
        return made_of_json(kind, value, key)  # type: ignore[arg-type]
    if origin is Mapping and isinstance(value, dict):
        return {name: checked_value(parts[1], item, within(key, name)) for name, item in value.items()}
    if origin in (tuple, Sequence) and isinstance(value, list):
        kinds = parts if origin is tuple and parts[-1] is not ... else parts[:1] * len(value)
        if len(kinds) != len(value):
            raise ValueError(f"{key} must have {len(kinds)} values")
        items = [checked_value(one, item, f"{key}[{place}]") for place, (one, item) in enumerate(zip(kinds, value))]
        return tuple(items) if origin is tuple else items
    if (origin is Literal and value in parts) or type(value) is kind or (kind is float and type(value) is int):
        return value
    raise ValueError(f"{key} is not of the type that it must have")


def within(key: str, name: object) -> str:
    """A key below another."""
    return f"{key}.{name}" if key else str(name)
