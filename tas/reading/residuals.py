"""Tying the widths that a residual sum joins, so that its shortcut stays the identity."""

from dataclasses import replace

from tas.reading.channels import Widths
from tas.reading.plan import ChannelSource, Plan, Segment


def tie_residuals(plan: Plan) -> Plan:
    """The same network with one width for all layers whose outputs identity shortcuts add up.

    The paper gives every convolution a width of its own. Where two that are added differ, a 1x1 projection comes into
    the small network: a cost, and a path that is no identity any more. In most networks an addition needs equal widths
    anyway, and their plans are returned as they are.

    Args:
        plan: The structure of a network.
    """
    depths, together = plan.depths(), joined_by_identities(plan)
    tied = {name: together.find(name) for name in plan.widths if together.find(name) != name}

    def renamed(segment: Segment) -> Segment:
        return replace(segment, source=rename(segment.source))

    def rename(source: ChannelSource) -> ChannelSource:
        return tied.get(source, source) if isinstance(source, str) else source

    layers = tuple(
        replace(layer, reads=tuple(map(renamed, layer.reads)), writes=renamed(layer.writes))
        for layer in plan.layers
        # With equal ends such a projection is never there; those of which the ends differ stay.
        if not (layer.if_unequal and rename(plan.resolve(layer.reads[0].source, depths)) == rename(layer.writes.source))
    )
    stages = {name: replace(stage, ends=tuple(map(rename, stage.ends))) for name, stage in plan.stages.items()}
    widths = {name: channels for name, channels in plan.widths.items() if name not in tied}
    return replace(plan, layers=layers, stages=stages, widths=widths, tied=tied)


def joined_by_identities(plan: Plan) -> Widths:
    """The widths of a plan, those tied that an addition joins while both are full."""
    together = Widths()
    for name, channels in plan.widths.items():
        together.new(name, channels)
    for layer in plan.layers:
        reads, writes = str(plan.resolve(layer.reads[0].source, plan.depths())), str(layer.writes.source)
        if layer.if_unequal and plan.widths[reads] == plan.widths[writes]:
            together.tie(reads, writes)
    return together
