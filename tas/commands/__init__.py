"""The commands of `tas`: each a function, in a module of its name, that takes its options."""

from importlib import import_module

from tas.config import CompareOptions, PruneOptions, RecipeOptions, SearchOptions, TrainOptions

COMMANDS: dict[str, type[RecipeOptions]] = {
    "search": SearchOptions,
    "prune": PruneOptions,
    "train": TrainOptions,
    "compare": CompareOptions,
}
"""Command -> its options, whose docstring says what it does."""


def perform(command: str, options: RecipeOptions) -> None:
    """Run a command. It is imported here: Lightning takes seconds, and --help does not wait for it."""
    getattr(import_module(f"tas.commands.{command}"), command)(options)
