"""Where a network's parameters stand: with its layers, with what treats every channel by itself, or apart from both."""

from collections import Counter
from dataclasses import replace

from torch import nn

from tas.reading.plan import Channelwise, Plan, Rest


def with_parameters(plan: Plan, network: nn.Module) -> Plan:
    """A plan that also says how many parameters stand beside its layers, and in which block.

    Args:
        plan: As a reader made it.
        network: The unpruned network.
    """
    own = {
        path: {name: parameter.numel() for name, parameter in module.named_parameters(recurse=False)}
        for path, module in network.named_modules()
    }
    layers = {layer.name for layer in plan.layers}
    norms = {layer.norm for layer in plan.layers}
    known = {f"{name}.{key}" for name in layers for key in ("weight", "bias")}
    known |= {f"{name}.{key}" for name in norms for key in ("weight", "bias")}
    channelwise = []
    for item in plan.channelwise:
        owner, _, key = item.name.rpartition(".")
        count = own[owner].get(key, 0) if item.bare else sum(own[item.name].values()) if item.name not in layers else 0
        known |= {item.name} if item.bare else {f"{item.name}.{key}" for key in own[item.name]}
        stage, block = plan.place_of(item.name)
        channelwise.append(replace(item, parameters=count // feature_count(plan, item), stage=stage, block=block))
    rest: Counter[tuple[str | None, int]] = Counter()
    for name in own:
        if name in layers:
            rest[plan.place_of(name)] -= derived_weights(network.get_submodule(name))
    for path, parameters in own.items():
        for key, count in parameters.items():
            if f"{path}.{key}".lstrip(".") not in known:
                rest[plan.place_of(path)] += count
    return replace(
        plan, channelwise=tuple(channelwise), rest=tuple(Rest(count, *place) for place, count in rest.items() if count)
    )


def derived_weights(layer: nn.Module) -> int:
    """How many numbers the weight and the bias of a layer have that are made of other parameters, and are none."""
    made = [key for key in ("weight", "bias") if key not in layer._parameters]
    return sum(getattr(layer, key).numel() for key in made if getattr(layer, key) is not None)


def feature_count(plan: Plan, item: Channelwise) -> int:
    """How many features a module treats in the unpruned network."""
    return sum(part.repeat * plan.channels(plan.resolve(part.source, plan.depths())) for part in item.segments)
