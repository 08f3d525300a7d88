"""A profile as its reader sees it: tables and sentences, or an object for programmes."""

import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tas.cost.memory import size_of
from tas.profiling.layers import LayerTime
from tas.profiling.measure import Figure, Latency, Profile, counted
from tas.profiling.verdict import arrived, verdict
from tas.runs.summary import millions
from tas.timing.interleaved import Spread


def profile_json(profile: Profile, title: str) -> dict[str, Any]:
    """The profile as an object of JSON: seconds, bytes and counts; what a network alone does not have is null."""
    values = {"title": title} | asdict(profile)
    for name in ("flops", "params", "file_bytes", "peak_activation_bytes"):
        found: Figure = getattr(profile, name)
        values[name]["kept"] = None if found.after is None else found.kept
    for row, latency in zip(values["latencies"], profile.latencies, strict=True):
        kept = None if latency.ratio is None else latency.ratio.median
        row["arrived"] = None if kept is None else arrived(kept, profile.flops.kept)
    return values | {"verdict": sentences(profile)}


def sentences(profile: Profile) -> list[str]:
    """What the figures say."""
    return verdict(profile.flops.kept, profile.latencies, profile.layers, profile.flops.after is not None)


def profile_text(profile: Profile, title: str, layers: int) -> str:
    """The profile for a terminal.

    Args:
        profile: What was measured.
        title: Of what.
        layers: Lines of the table of layers.
    """
    compared = profile.flops.after is not None
    channels, height, width = profile.image
    head = [f"{title}, images of {channels}x{height}x{width}", str(profile.conditions)]
    parts = [
        "\n".join(head),
        aligned([["", "before", "after", "kept"] if compared else ["", ""], *size_rows(profile)]),
        folded(coded_line(profile)),
        "Time of a batch: median (quartiles)\n" + aligned(latency_rows(profile.latencies, profile.flops)),
        layer_title(profile) + "\n" + aligned(layer_rows(profile, layers)),
        "\n".join(map(folded, sentences(profile))),
        *(["\n".join(folded(f"Note: {note}.") for note in profile.notes)] if profile.notes else []),
    ]
    return "\n\n".join(parts)


def size_rows(profile: Profile) -> list[list[str]]:
    """The lines on what needs no clock."""
    rows = []
    for name, found, write in (
        ("FLOPs (multiply-adds), an image", profile.flops, millions),
        ("parameters", profile.params, millions),
        ("file of the weights", profile.file_bytes, size_of),
        ("peak of live feature maps, an image", profile.peak_activation_bytes, size_of),
    ):
        row = [name, write(found.before)]
        rows.append(row if found.after is None else [*row, write(found.after), f"{found.kept:.1%}"])
    return rows


def coded_line(profile: Profile) -> str:
    """The size after clustering and coding."""
    coded = profile.coded
    share = f", {coded.bytes / profile.file_bytes.before:.1%} of the file before"
    return (
        f"Estimate: with {coded.clusters} shared values a layer and Huffman's code the weights take at least "
        f"{size_of(coded.bytes)}{share if profile.flops.after is not None else ''} (entropy: "
        f"{coded.bits_per_weight:.2f} bits a weight; what it costs in accuracy is not measured)"
    )


def latency_rows(latencies: Sequence[Latency], flops: Figure) -> list[list[str]]:
    """The lines on latencies."""
    rows = [["", "before", "after", "time kept", "saving that arrives", "rounds"]]
    for row in latencies:
        cells = [row.words, spread_of_time(row.before)]
        if row.after is not None and row.ratio is not None:
            part = arrived(row.ratio.median, flops.kept)
            ratio = f"{row.ratio.median:.1%} ({row.ratio.low:.1%}-{row.ratio.high:.1%})"
            cells += [spread_of_time(row.after), ratio, "-" if part is None else f"{part:.0%}"]
        rows.append([*cells, str(row.rounds)])
    return rows if flops.after is not None else [["", "time", "rounds"], *rows[1:]]


def layer_title(profile: Profile) -> str:
    """What stands above the table of layers."""
    table = profile.layers
    how = f"PyTorch, {table.device}, {counted(table.images)}"
    return f"Time of the layers, {how}; under the profiler, which takes time itself"


def layer_rows(profile: Profile, most: int) -> list[list[str]]:
    """The lines on layers: those that take longest, the others as one, and the sum."""
    table = profile.layers
    sides = ("before", "after") if profile.flops.after is not None else ("before",)
    totals = [table.total(side) for side in sides]

    def row(name: str, kind: str, times: Sequence[float | None]) -> list[str]:
        cells = [
            "-" if time is None else f"{in_milliseconds(time)} {time / total if total else 0.0:>6.1%}"
            for time, total in zip(times, totals, strict=True)
        ]
        return [name, "" if kind == name else kind, *cells]

    shown = [row(layer.name, layer.kind, times_of(layer, sides)) for layer in table.layers[:most]]
    rest = [times_of(layer, sides) for layer in table.layers[most:]]
    if rest:
        shown.append(row(f"{len(rest)} more", "", [sum(time or 0.0 for time in times) for times in zip(*rest)]))
    shown.append(row("all", "", totals))
    return [["", "", *(sides if len(sides) > 1 else ("time",))], *shown]


def times_of(layer: LayerTime, sides: Sequence[str]) -> list[float | None]:
    """The times of a layer, those that are asked for."""
    return [getattr(layer, side) for side in sides]


def spread_of_time(spread: Spread) -> str:
    """Median and quartiles in milliseconds."""
    return f"{in_milliseconds(spread.median)} ({spread.low * 1e3:.3g}-{spread.high * 1e3:.3g})"


def in_milliseconds(seconds: float) -> str:
    """0.00231 is 2.31 ms."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds * 1e3:.0f} ms"


def folded(text: str) -> str:
    """A sentence in lines that a terminal has room for."""
    return textwrap.fill(text, 110, break_long_words=False, break_on_hyphens=False)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns, the first to the left, the others to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{cell:<{width}}" if place == 0 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    )
