"""The multiply-adds of an ONNX file, counted in its graph."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

Shape = tuple[int, ...]


def onnx_multiply_adds(path: Path, batch: Tensor) -> int:
    """Of the convolutions and matrix products of an ONNX file, as torch's counter counts them: recurrent layers are
    passed over."""
    import onnx

    model = onnx.load(path)
    counted = [node for node in model.graph.node if node.op_type in MULTIPLYING]
    shapes = shapes_in(model, {name for node in counted for name in (*node.input, *node.output) if name}, batch)
    total = 0
    for node in counted:
        options = {option.name: onnx.helper.get_attribute_value(option) for option in node.attribute}
        given = [shapes[name] for name in node.input if name]
        total += MULTIPLYING[node.op_type](given, shapes[node.output[0]], options)
    return total


def shapes_in(model: Any, names: set[str], batch: Tensor) -> dict[str, Shape]:
    """The shapes that tensors of an ONNX model have for a batch, by running it: inference leaves some of them open."""
    import onnx
    import onnxruntime

    graph = model.graph
    shapes: dict[str, Shape] = {one.name: tuple(one.dims) for one in graph.initializer}
    asked = sorted(names - {*shapes, *(one.name for one in (*graph.input, *graph.output))})
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in asked)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ends, given = [one.name for one in session.get_outputs()], session.get_inputs()[0].name
    values = session.run(ends, {given: batch.numpy()})
    return shapes | {given: tuple(batch.shape)} | {end: value.shape for end, value in zip(ends, values, strict=True)}


def of_convolution(given: Sequence[Shape], made: Shape, options: Mapping[str, Any]) -> int:
    """Each number that is made takes a filter."""
    return math.prod(made) * math.prod(given[1][1:])


def of_transposed_convolution(given: Sequence[Shape], made: Shape, options: Mapping[str, Any]) -> int:
    """Each number that is given makes a filter's."""
    return math.prod(given[0]) * math.prod(given[1][1:])


def of_product(given: Sequence[Shape], made: Shape, options: Mapping[str, Any]) -> int:
    """Each number that is made takes a row of the first and a column of the second."""
    return math.prod(made) * given[0][-2 if options.get("transA", 0) else -1]


def of_einsum(given: Sequence[Shape], made: Shape, options: Mapping[str, Any]) -> int:
    """Of a sum over some letters of two tensors; one without is no matrix product."""
    terms, _, result = options["equation"].decode().replace(" ", "").partition("->")
    named = [spelled_out(term, len(shape)) for term, shape in zip(terms.split(","), given, strict=True)]
    lengths: dict[str, int] = {}
    for term, shape in zip(named, given, strict=True):
        for letter, length in zip(term, shape, strict=True):
            lengths[letter] = max(length, lengths.get(letter, 1))
    summed = set.intersection(*map(set, named)) - {*spelled_out(result, len(made))}
    return math.prod(lengths.values()) if len(given) == 2 and summed else 0


def spelled_out(term: str, dimensions: int) -> str:
    """An equation's letters for a tensor, digits in the place of its dots, the last of which is 0."""
    left = dimensions - len(term.replace("...", ""))
    return term.replace("...", "".join(str(number) for number in reversed(range(left))))


MULTIPLYING: dict[str, Callable[[Sequence[Shape], Shape, Mapping[str, Any]], int]] = {
    "Conv": of_convolution,
    "ConvTranspose": of_transposed_convolution,
    "Gemm": of_product,
    "MatMul": of_product,
    "Einsum": of_einsum,
}
"""Operation of ONNX -> its multiply-adds, by the shapes that it is given and that it makes, and its options."""
