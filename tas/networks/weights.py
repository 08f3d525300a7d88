"""Trained weights from files as people have them: bare state dicts, and checkpoints of other training programmes."""

import pickle
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from tas.errors import TasError, blame, explained, shown
from tas.inputs.torch_file import check_extent_of, read_torch

COUNTERS = ("num_batches_tracked", "total_ops", "total_params", "n_averaged")
"""Ends of names of numbers that count and compute nothing: torch's own, since 0.4.1, thop's, and AveragedModel's."""
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
"""What DataParallel and its like, torch.compile and others put into names, before them or in their midst."""


LONGEST_PATH = 300
"""Letters of a tensor's name, the keys that lead to it included. What looks at names takes as many steps as they have
parts."""
FEW = 2**20
"""Bytes up to which a tensor may be larger than what of it is in the file."""
MOST_GROUPS = 20
"""Groups of tensors in a file that are held against a network. Those with the most of its names come first."""


class Passed:
    """In the place of what would make an object of a foreign class: makes an empty dict, whatever it is given."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()


class PassedArray:
    """In the place of numpy's, whose state is no dict."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_weights(path: str) -> dict[str, Tensor]:
    """All tensors in a file, or those of the finished training run in a directory.

    Objects of other classes than torch's, such as a script's arguments, are passed over; their code never runs.

    Returns:
        Name -> tensor; where dicts lie in dicts, the keys that lead to the tensor, with dots between.

    Raises:
        TasError: The file cannot be read, or has no tensors.
    """
    file = Path(path)
    if file.is_dir():
        names = ("model.safetensors", "weights.pt")  # the second is of earlier runs
        file = next((file / name for name in names if (file / name).is_file()), file / names[0])
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    try:
        check_extent_of(file)
    except Exception as error:  # zipfile raises what it likes, too
        raise TasError(f"{file}: does not hold weights ({explained(error)})") from None
    try:
        foreign = get_unsafe_globals_in_checkpoint(file)
    except Exception:  # a file from before torch 1.6, or no file of torch's; which, the next lines say
        foreign = []
    try:
        content = load_passing(file, foreign)
    except pickle.UnpicklingError:
        among = f", and of {foreign[0]} and the like only what can be passed over" if foreign else ""
        raise TasError(
            f"{file}: does not hold weights; it must be a file of tensors, as torch.save writes{among}"
        ) from None
    except Exception as error:  # torch raises what it likes on a file that is not its own
        raise TasError(f"{file}: does not hold weights ({explained(error)})") from None
    with blame(f"{file}: does not hold weights"):
        tensors = dict(tensors_in(content))
    if not tensors:
        whole = f"; it has an object of {foreign[0]}: save the network's state_dict()" if foreign else ""
        raise TasError(f"{file}: does not hold weights, names and their tensors, as a state_dict has them{whole}")
    return tensors


def load_passing(file: Path, foreign: Sequence[str]) -> Any:
    """The content of a file of torch's, with nothing in the place of objects of these classes."""
    try:
        with safe_globals([(PassedArray if name.startswith("numpy") else Passed, name) for name in foreign]):
            return read_torch(file)
    except (TypeError, ValueError):  # one of them has a state that is no dict
        with safe_globals([(PassedArray, name) for name in foreign]):
            return read_torch(file)


def read_safetensors(file: Path) -> dict[str, Tensor]:
    """The tensors in a file of the safetensors library."""
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except Exception as error:  # of the library's own classes
        raise TasError(f"{file}: does not hold weights ({explained(error)})") from None
    # Of runs of our own; what modules keep beside tensors is bytes there.
    with blame(f"{file}: does not hold weights"):
        return dict(tensors_in({name: tensors[name] for name in tensors if not name.endswith("_extra_state")}))


def tensors_in(content: object, name: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Tensor]]:
    """The tensors in dicts of dicts, each by the keys that lead to it; of a dict in several places by one of them.

    Raises:
        TasError: A name is too long for that of a tensor.
    """
    if len(name) > LONGEST_PATH:  # and before dicts in dicts are too many for Python
        raise TasError(f"the name {shown(name)} is longer than {LONGEST_PATH} letters")
    seen = set() if seen is None else seen
    if isinstance(content, Tensor):
        if is_plain(content):
            yield name, content
    elif isinstance(content, dict) and id(content) not in seen:  # it may contain itself, and there may be a web of them
        seen.add(id(content))
        for key, value in dict.items(content):  # what is passed over may have an attribute of that name
            yield from tensors_in(value, f"{name}.{key}" if name else str(key) or "-", seen)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in memory, one for each of its places, unless these are few: a file of bytes can have
    one number at 10**12 places."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.device.type != "cpu":
        return False
    return tensor.nbytes <= max(tensor.untyped_storage().nbytes(), FEW)


def is_counter(name: str) -> bool:
    """Whether a tensor of that name counts, and computes nothing."""
    return name.rpartition(".")[2] in COUNTERS


def own_weights(network: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Of the tensors in a file those that are a network's: all whose names follow one and the same prefix.

    Args:
        network: The network.
        tensors: As `read_weights` returns them.

    Returns:
        Name in the network -> tensor, counters left out where the file has none; and the prefix in the file.

    Raises:
        TasError: They are another network's, or several networks' that fit equally well.
    """
    own = shapes_of(network.state_dict())
    bare = {".".join(part for part in name.split(".") if part not in WRAPPERS): tensors[name] for name in tensors}
    if any(WRAPPERS.intersection(name.split(".")) for name in own):
        bare = {}  # its own names have such parts
    reasons = []
    for named in (tensors, bare):
        split = ((name, rest) for name in named for rest in ends(name) if rest in own and not is_counter(rest))
        prefixes = Counter(name.removesuffix(rest) for name, rest in split)
        groups = {prefix: group(named, prefix) for prefix, _ in prefixes.most_common(MOST_GROUPS)}
        wrong = {prefix: misfit(own, tensors) for prefix, tensors in groups.items()}
        fitting = [prefix for prefix, reason in wrong.items() if reason is None]
        if fitting:
            prefix = only(fitting, groups)
            return {name: tensor for name, tensor in groups[prefix].items() if name in own}, prefix
        reasons += [f"under {prefix[:-1]!r} " * bool(prefix) + str(reason) for prefix, reason in wrong.items()]
    raise TasError(
        f"the weights {reasons[0]}, so they are another network's"
        if reasons
        else f"the weights begin with {next(iter(tensors))!r}, the network's with {next(iter(own))!r}, "
        "so they are another network's"
    )


def ends(name: str) -> Iterator[str]:
    """A name, and what is left of it after each of its dots."""
    while name:
        yield name
        name = name.partition(".")[2]


def group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, by what follows it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def misfit(own: Mapping[str, torch.Size], tensors: Mapping[str, Tensor]) -> str | None:
    """What tells weights from a network's own, in words; None if they fit, a classifier of other classes aside."""
    lacking = [name for name in own if name not in tensors and not is_counter(name)]
    foreign = [name for name in tensors if name not in own and not is_counter(name)]
    for kind, names in (("lack", lacking), ("have", foreign)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{kind} {names[0]!r}{more}"
    unlike = [name for name in own if name in tensors and tensors[name].shape != own[name]]
    modules = {name.rpartition(".")[0] for name in unlike}
    for name in unlike:
        if len(modules) > 1 or tensors[name].shape[1:] != own[name][1:]:
            return f"have {name!r} of {tuple(tensors[name].shape)}, not {tuple(own[name])}"
    return None


def only(prefixes: list[str], groups: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Of prefixes that all fit the one that is meant: the averaged weights, as timm and torchvision judge by them.

    Raises:
        TasError: Other weights fit as well.
    """
    first = groups[prefixes[0]]
    if all(same(first, groups[prefix]) for prefix in prefixes):
        return prefixes[0]
    averaged = [prefix for prefix in prefixes if "ema" in re.split(r"[._]", prefix)]
    if len(averaged) == 1:
        return averaged[0]
    listed = " and ".join(repr(prefix[:-1]) for prefix in prefixes)
    raise TasError(f"it has several networks' weights that fit, {listed}; save the state_dict of one by itself")


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether weights are equal, whatever counters they have."""
    names = {name for name in one if not is_counter(name)}
    return names == {name for name in other if not is_counter(name)} and all(
        torch.equal(one[name], other[name]) for name in names
    )


def load_weights(network: nn.Module, path: str) -> tuple[bool, str]:
    """Load the weights in a file, as `read_weights` and `own_weights` find them.

    Returns:
        Whether the classifier came with them, and where they are from, in words.
    """
    tensors, prefix = own_weights(network, read_weights(path))
    return fill(network, tensors), f"{path} ({prefix[:-1]})" if prefix else path


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """Load weights; a classifier for another number of classes keeps its fresh ones.

    Args:
        network: The network, changed in place.
        tensors: Name -> tensor, as `network.state_dict()` has them; counters may be missing.

    Returns:
        Whether the classifier came with them.

    Raises:
        TasError: The weights are another network's.
    """
    own: Any = network.state_dict()  # which also has the versions of its modules
    reason = misfit(shapes_of(own), tensors)
    if reason is not None:
        raise TasError(f"the weights {reason}, so they are another network's")
    shapes = shapes_of(own)
    fitting = {name: tensor for name, tensor in tensors.items() if shapes.get(name) == tensor.shape}
    own.update(fitting)
    try:
        network.load_state_dict(own)
    except Exception as error:  # torch raises what it likes
        raise TasError(f"the weights cannot be taken ({explained(error)})") from None
    return len(fitting) == sum(name in shapes for name in tensors)


def versioned(state: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """A state as `load_state_dict` takes it: with the versions of the modules' layouts, which are this library's where
    it lacks them, as one from a file of plain tensors does; torchvision's MNASNet is not loaded without."""
    own: Any = OrderedDict(state)
    own._metadata = getattr(state, "_metadata", None) or cast(Any, network.state_dict())._metadata
    return own


def shapes_of(state: Mapping[str, Any]) -> dict[str, torch.Size]:
    """The shapes of the tensors of a state, which may have other things too."""
    return {name: tensor.shape for name, tensor in state.items() if isinstance(tensor, Tensor)}
