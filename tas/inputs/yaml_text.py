"""YAML, within limits: nothing but plain values, and of those not too many."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import yaml

from tas.errors import gist
from tas.inputs.extent import check_extent

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one that jsonargparse reads single values by; it takes some texts, such as [a?b], that the other does not."""

LARGEST_YAML = 2**15
"""Bytes of a file of options; a parser in Python takes a second or two for as many."""

MOST_VALUES = 10_000
"""Values in one, an alias counted as what it stands for: a few lines of aliases can stand for billions."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML document: dicts, lists and plain values. ValueError if it is none, or too much."""
    try:
        loader = LOADER(text)
        node = loader.get_single_node()
        check_extent(node, parts_of_node, MOST_VALUES)
        return None if node is None else loader.construct_document(node)
    except RecursionError:
        raise ValueError("nested too deep") from None
    except Exception as error:  # of the library's own classes, and whatever a date or number of none raises
        raise ValueError(gist(error)) from None


def parts_of_node(node: yaml.Node | None) -> Iterable[yaml.Node]:
    """The nodes that lie in one."""
    if isinstance(node, yaml.MappingNode):
        return chain.from_iterable(node.value)
    return node.value if isinstance(node, yaml.SequenceNode) else ()
