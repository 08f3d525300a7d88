"""The memory that feature maps need: the most that is alive at once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveStorages(TorchDispatchMode):
    """Follows, while it is entered, how many bytes of tensors are alive after each operation of ATen.

    What a kernel takes for itself, and gives back before it ends, is not seen. Views share their storage, which counts
    once and whole.

    Args:
        given: Tensors that are alive from the start.
        apart: Tensors whose storage is not counted.
    """

    def __init__(self, given: Sequence[Tensor], apart: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.apart = {reference_to(tensor).cdata for tensor in apart}
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.place: str | None = None
        """The block that is running, as whoever runs the network says."""
        self.moments: list[tuple[str | None, int]] = []
        """Where it was, and the bytes: at the start, and after each operation so far."""
        self.take(given)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Carry out an operation, and count."""
        result = func(*args, **(kwargs or {}))
        self.take(result)
        return result

    def take(self, result: Any) -> None:
        """Add the storages of tensors to those that are alive, and forget those that are not."""
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                reference = reference_to(tensor)
                if reference.cdata not in self.apart:
                    self.alive[reference.cdata] = reference, tensor.untyped_storage().nbytes()
        self.alive = {key: entry for key, entry in self.alive.items() if not expired(entry[0])}
        self.moments.append((self.place, sum(size for _, size in self.alive.values())))


def reference_to(tensor: Tensor) -> StorageWeakRef:
    """What knows a tensor's storage, and whether it is still there, without keeping it."""
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def expired(reference: StorageWeakRef) -> bool:
    """Whether the storage is gone."""
    return bool(reference.expired())  # type: ignore[no-untyped-call]


def peak_activations(network: nn.Module, image: Tensor) -> int:
    """The most bytes of tensors that are alive at once while a network judges an image, its input among them.

    Weights and buffers are not counted, nor is what a kernel takes for itself. As PyTorch runs the network, operation
    by operation; what compiles a network may need less.

    Args:
        network: In eval mode.
        image: (1, C, H, W).
    """
    return max(count for _, count in live_moments(network, image))


def live_moments(network: nn.Module, image: Tensor, blocks: Sequence[str] = ()) -> list[tuple[str | None, int]]:
    """The bytes that are alive at the start, and after each operation, and the block that it stands in.

    Arguments as for `peak_activations`, and the names of blocks, none inside another; outside of them it is None.
    """
    storages = LiveStorages([image], [*network.parameters(), *network.buffers()])

    def at(place: str | None) -> Callable[..., None]:
        def hook(*given: Any) -> None:
            storages.place = place

        return hook

    modules = [(name, network.get_submodule(name)) for name in blocks]
    hooks = [module.register_forward_pre_hook(at(name)) for name, module in modules]
    hooks += [module.register_forward_hook(at(None)) for _, module in modules]
    with torch.no_grad(), storages:
        network(image)
    for handle in hooks:
        handle.remove()
    return storages.moments


def size_of(count: float) -> str:
    """Bytes in kB or MB of the decimal kind: 1100000 is 1.10 MB."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
