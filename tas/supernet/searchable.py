"""A module made searchable where it stands: the same object, of a class derived from its own.

So whatever a network does with its modules stays true: their names, attributes and hooks, `isinstance`, how they are
called. What a kind of searchable module adds is its `forward`, in which it may run the module's own.
"""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from torch import Tensor, nn

from tas.errors import TasError, explained


class Searchable(nn.Module):
    """What all kinds have in common. A kind is made of a module by its class method `on`."""

    transient: tuple[str, ...] = ()
    """Attributes that belong to one forward pass, and are not copied."""

    @classmethod
    def on(cls, module: nn.Module) -> Self:
        """Make a module of this kind, in place."""
        if cls.forward is not nn.Module.forward and "forward" in vars(module):
            # Some libraries replace the forward pass of single objects.
            vars(module)["forward_of_its_own"] = vars(module).pop("forward")
        try:
            module.__class__ = derived(cls, type(module))  # type: ignore[arg-type]
        except Exception as error:  # the user's class may not like to be derived from
            raise TasError(f"no class can be derived from {type(module).__name__}: {explained(error)}") from None
        assert isinstance(module, cls)
        return module

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copied and pickled by the kinds and the class that the module had before: the derived class has no name."""
        kinds, cls = [], type(self)
        while issubclass(cls, Searchable):
            kind, cls = cls.__bases__
            kinds.append(kind)
        state = {name: None if name in self.transient else value for name, value in vars(self).items()}
        return again, (cls, tuple(reversed(kinds))), state

    def own_class(self) -> type[nn.Module]:
        """The class that the module had before, without any kind of searchable module."""
        own: Any = next(cls for cls in type(self).__mro__ if not issubclass(cls, Searchable))
        return own

    def runs_as(self, cls: type[nn.Module]) -> bool:
        """Whether the module's own forward is that of a class, and not that of one derived from it."""
        return self.own_class() is cls and "forward_of_its_own" not in vars(self)

    def own_forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computed before it was searchable."""
        own = vars(self).get("forward_of_its_own")
        return self.own_class().forward(self, *args, **kwargs) if own is None else own(*args, **kwargs)


def again(cls: type[nn.Module], kinds: tuple[type[Searchable], ...]) -> nn.Module:
    """An empty module of a class that is made these kinds, one after another."""
    for kind in kinds:
        cls = derived(kind, cls)  # type: ignore[arg-type]
    return cls.__new__(cls)


@functools.cache
def derived(kind: type[Searchable], cls: type[nn.Module]) -> type[nn.Module]:
    """The class of a module of one class that is made one kind of searchable module."""
    return type(f"{kind.__name__}{cls.__name__}", (kind, cls), {"__module__": __name__})


def first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The first argument of a call, however it is given: a module's input."""
    tensor: Tensor = next(iter((*args, *kwargs.values())))
    return tensor


@contextmanager
def holding(module: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Let a module have these tensors in the place of its parameters and buffers of the same names."""
    homes: dict[str, dict[str, Any]] = {
        name: module._parameters if name in module._parameters else module._buffers for name in tensors
    }
    own = {name: home[name] for name, home in homes.items()}
    for name, home in homes.items():
        home[name] = tensors[name]
    try:
        yield
    finally:
        for name, home in homes.items():
            home[name] = own[name]
