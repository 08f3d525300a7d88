"""What a step keeps for its backward pass, and the most that it has allocated at once."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

Step = Callable[[], None]


def saved_bytes(step: Step, parameters: list[nn.Parameter]) -> int:
    """Bytes of the distinct tensors that a step keeps for a backward pass, parameters left out; the most of several
    passes, one after the other."""
    known = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    kept: dict[int, int] = {}
    most, backward = 0, False

    def pack(tensor: Tensor) -> Tensor:
        nonlocal most, backward
        if backward:  # it is over: this is of the next pass
            kept.clear()
            backward = False
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            most = max(most, sum(kept.values()))
        return tensor

    def unpack(tensor: Tensor) -> Tensor:
        nonlocal backward
        backward = True
        return tensor

    with saved_tensors_hooks(pack, unpack):
        step()
    return most


def peak_bytes(step: Step, device: str) -> int:
    """The most bytes that a step has allocated at once, beyond what was there before."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    assert profiler.profiler is not None and profiler.profiler.kineto_results is not None
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    allocated = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()
        peak = max(peak, allocated)
    return peak
