"""Tables, moves and the doors between codes and real numbers, judged by onnxruntime."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from onnxruntime_graphs import MICROSOFT, Array, Graph, random_codes, random_encoding

from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Concatenate, Dequantize, Gather, LookUp, Quantize, Take, Transpose
from bitsmith.numerics.encoding import Blocks, Encoding
from bitsmith.numerics.formats import Format, Integer

UINT8, INT8 = Integer(8, signed=False), Integer(8)
FORMATS = pytest.mark.parametrize("form", [UINT8, INT8], ids=["uint8", "int8"])
SEEDS = pytest.mark.parametrize("seed", range(8))


def all_codes(form: Format) -> Array:
    return np.arange(form.lowest, form.highest + 1).astype(form.storage)


def through_float(kind: str, codes: Array, source: Encoding, target: Encoding, attributes: Mapping[str, Any] | None = None) -> Array:
    """The operator on real numbers, between the codes."""
    graph = Graph()
    real = graph.run(graph.node(kind, [graph.feed(source.dequantize(codes))], attributes=attributes))
    return target.quantize(real)


@FORMATS
@pytest.mark.parametrize(("kind", "attributes"), [("Sigmoid", {}), ("LeakyRelu", {"alpha": 0.17})])
@SEEDS
def test_a_table_of_the_float_operator_is_the_integer_operator(seed: int, kind: str, attributes: dict[str, float], form: Format) -> None:
    random, graph = np.random.default_rng(seed), Graph()
    source, target = random_encoding(random, form, near=0.05), random_encoding(random, form, near=0.01)
    codes = random_codes(random, form, 3, 700)
    operands = [graph.feed(codes), *graph.encoding(source), *graph.encoding(target)]
    theirs = graph.run(graph.node(f"QLinear{kind}", operands, domain=MICROSOFT, attributes=attributes))
    table = through_float(kind, all_codes(form), source, target, attributes)
    np.testing.assert_array_equal(LookUp(("x",), "y", CodeRange.of(source), table).run(codes), theirs)


@FORMATS
@SEEDS
def test_concatenation_of_different_encodings(seed: int, form: Format) -> None:
    """Tables into the encoding of the output, then moves only."""
    random, graph = np.random.default_rng(seed), Graph()
    target = random_encoding(random, form)
    sources = [random_encoding(random, form), random_encoding(random, form), target]
    parts = [random_codes(random, form, 2, channels, 9) for channels in (3, 1, 4)]
    operands = [name for part, e in zip(parts, sources, strict=True) for name in (graph.feed(part), *graph.encoding(e))]
    theirs = graph.run(graph.node("QLinearConcat", [*graph.encoding(target), *operands], domain=MICROSOFT, attributes={"axis": 1}))
    tables = [target.quantize(e.dequantize(all_codes(form))) for e in sources]
    moved = [LookUp(("x",), "y", CodeRange.of(e), table).run(part) for part, e, table in zip(parts, sources, tables, strict=True)]
    np.testing.assert_array_equal(Concatenate(("a", "b", "c"), "y", 1).run(*moved), theirs)


@FORMATS
@SEEDS
def test_quantize(seed: int, form: Format) -> None:
    """Ties, values far outside, infinities."""
    random, graph = np.random.default_rng(seed), Graph()
    encoding = random_encoding(random, form)
    ties = (np.arange(-300, 300) + 0.5) * encoding.scale
    real = np.concatenate([ties, random.normal(0, 200, 400), [np.inf, -np.inf, 1e38, -1e38, 0]]).astype(np.float32)
    theirs = graph.run(graph.quantize(graph.feed(real), encoding))
    np.testing.assert_array_equal(Quantize(("x",), "y", encoding).run(real), theirs)


@FORMATS
def test_dequantize(form: Format) -> None:
    random, graph = np.random.default_rng(0), Graph()
    encoding = random_encoding(random, form)
    codes = random_codes(random, form, 2, 3, 50)
    np.testing.assert_array_equal(Dequantize(("x",), "y", encoding).run(codes), graph.run(graph.dequantize(graph.feed(codes), encoding)))


def test_dequantize_accumulators() -> None:
    """By channel, beyond the 24 bits that float32 holds."""
    random, graph = np.random.default_rng(0), Graph()
    scale = np.exp(random.uniform(-9, 0, (1, 5, 1))).astype(np.float32)
    encoding = Encoding(Integer(32), scale, np.zeros(scale.shape), Blocks.channels(1))
    sums = random.integers(-2**31, 2**31, (4, 5, 60)).astype(np.int32)
    np.testing.assert_array_equal(Dequantize(("x",), "y", encoding).run(sums), graph.run(graph.dequantize(graph.feed(sums), encoding)))


@pytest.mark.parametrize(("mode", "before", "after"), [("constant", 2, 3), ("edge", 2, 3), ("reflect", 3, 1), ("constant", -1, 2)])
@FORMATS
def test_padding_is_a_take(mode: str, before: int, after: int, form: Format) -> None:
    random, graph = np.random.default_rng(0), Graph()
    codes = random_codes(random, form, 2, 3, 6, 7)
    pads = [0, 0, before, after, 0, 0, after, before]
    operands = [graph.feed(codes), graph.constant(pads, np.int64), graph.constant(5, form.storage)]
    theirs = graph.run(graph.node("Pad", operands, attributes={"mode": mode}))
    indices = {2: padded(6, before, after, mode), 3: padded(7, after, before, mode)}
    np.testing.assert_array_equal(Take(("x",), "y", indices, filler=5).run(codes), theirs)


def padded(length: int, before: int, after: int, mode: str) -> Array:
    """Which element stands at each place of a padded axis."""
    places = np.arange(-before, length + after)
    if mode == "constant":
        return np.where((places >= 0) & (places < length), places, -1)
    inside = np.clip(places, 0, length - 1)
    return inside if mode == "edge" else 2 * inside - places


@FORMATS
def test_nearest_neighbour_resizing_is_a_take(form: Format) -> None:
    random, graph = np.random.default_rng(0), Graph()
    codes = random_codes(random, form, 2, 3, 5, 4)
    attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    operands = [graph.feed(codes), "", graph.constant([1, 1, 2, 3], np.float32)]
    theirs = graph.run(graph.node("Resize", operands, attributes=attributes))
    np.testing.assert_array_equal(Take(("x",), "y", {2: np.arange(10) // 2, 3: np.arange(12) // 3}).run(codes), theirs)


@FORMATS
def test_slices_backwards_too_are_takes(form: Format) -> None:
    random, graph = np.random.default_rng(0), Graph()
    codes = random_codes(random, form, 2, 8, 9)
    bounds = [graph.constant(part, np.int64) for part in ([1, 7], [6, -10], [1, 2], [2, -3])]
    theirs = graph.run(graph.node("Slice", [graph.feed(codes), *bounds]))
    np.testing.assert_array_equal(Take(("x",), "y", {1: np.arange(1, 6, 2), 2: np.arange(7, -1, -3)}).run(codes), theirs)


@FORMATS
def test_gathering(form: Format) -> None:
    random, graph, rows = np.random.default_rng(0), Graph(), Graph()
    codes, table, tokens = random_codes(random, form, 2, 8, 5), random_codes(random, form, 30, 4), random.integers(-30, 30, (3, 7))
    theirs = graph.run(graph.node("Gather", [graph.feed(codes), graph.constant([3, 3, 0], np.int64)], attributes={"axis": 1}))
    np.testing.assert_array_equal(Take(("x",), "y", {1: np.array([3, 3, 0])}).run(codes), theirs)
    embedded = rows.run(rows.node("Gather", [rows.constant(table, form.storage), rows.feed(tokens)]))
    np.testing.assert_array_equal(Gather(("tokens",), "y", table).run(tokens), embedded)


@FORMATS
def test_transposing(form: Format) -> None:
    graph, codes = Graph(), random_codes(np.random.default_rng(0), form, 2, 3, 4, 5)
    theirs = graph.run(graph.node("Transpose", [graph.feed(codes)], attributes={"perm": [0, 3, 1, 2]}))
    np.testing.assert_array_equal(Transpose(("x",), "y", (0, 3, 1, 2)).run(codes), theirs)
