"""High biases go through a Relu into the next product, so that less range is spent on them (Nagel 2019, section 4.1.3)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, consumers
from bitsmith.improving.channel_moments import Moments, measure_channels
from bitsmith.improving.channels import is_homogeneous
from bitsmith.improving.draft import Draft, Progress, with_reasons
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import is_standard
from bitsmith.rewrites.fold_batch_norm import sees_channels
from bitsmith.rewrites.products import Product, read_product, scale_inputs, scale_outputs

DEVIATIONS = 3.0        # below the mean


@dataclass(frozen=True)
class Passage:
    """A product, the Relu behind it, and the products that alone read what comes out, through averages at most."""

    writer: Product
    readers: tuple[Product, ...]

    @property
    def name(self) -> str:
        """Of what goes into the Relu."""
        return self.writer.node.outputs[0].name or ""


def absorb_bias(draft: Draft, progress: Progress | None = None) -> Draft:
    """Take from each channel in front of a Relu what it almost always has, c = max(0, mean - 3 deviations); readers' biases get it.

    relu(x) = relu(x - c) + c wherever x >= c. Readers that pad with zeros, and passages through Clip, are left alone. It is in no recipe:
    none of the networks that it was measured on has such channels.
    Raises GoneError where the calibration data cannot be read again.
    """
    data = draft.samples("absorb_bias")
    network = draft.network.clone()
    passages = find_passages(network.graph)
    if not passages:
        return draft
    moments = measure_channels(network, {passage.name: 1 for passage in passages}, data)
    said = dict[str, str]()
    for passage in passages:
        taken = constant_part(moments[passage.name])
        if taken.any() and move(network.graph, passage, taken):
            said[passage.name] = f"up to {taken.max():.3g} of {np.count_nonzero(taken)} channels are in the biases behind the Relu now"
    if not said:
        return draft
    better = draft.replanned(network, "absorb_bias")
    return replace(better, plan=with_reasons(better.plan, said))


def constant_part(moments: Moments) -> Array:
    """What a channel almost never falls below, [channels]."""
    return np.maximum(0.0, moments.mean - DEVIATIONS * np.sqrt(moments.variance))


def find_passages(graph: ir.Graph) -> list[Passage]:
    found = []
    for node in graph:
        product = read_product(node)
        readers = () if product is None or product.channel_axis != 1 else readers_behind(node.outputs[0])
        if product is not None and readers:
            found.append(Passage(product, readers))
    return found


def readers_behind(value: ir.Value) -> tuple[Product, ...]:
    """The products behind a sole Relu; () where anybody else reads along."""
    nodes = consumers(value)
    if value.is_graph_output() or len(nodes) != 1 or not is_standard(nodes[0], "Relu"):
        return ()
    return products_behind(nodes[0].outputs[0])


def products_behind(value: ir.Value) -> tuple[Product, ...]:
    found: list[Product] = []
    for node in consumers(value):
        product = read_product(node)
        if product is not None and sees_channels(product) and node.inputs[0] is value:
            found.append(product)
        elif passes_constants(node) and (behind := products_behind(node.outputs[0])):
            found += behind
        else:
            return ()
    return () if value.is_graph_output() else tuple(found)


def passes_constants(node: ir.Node) -> bool:
    """f(x + c) = f(x) + c for each channel: averages and maxima without padding, and what drops axes of length 1."""
    if is_standard(node, "GlobalAveragePool", "GlobalMaxPool", "Identity"):
        return is_homogeneous(node)
    if is_standard(node, "AveragePool", "MaxPool"):
        return is_homogeneous(node) and not any(attribute(node, "pads", ())) and attribute(node, "auto_pad", "NOTSET") == "NOTSET"
    before, after = node.inputs[0] if node.inputs else None, node.outputs[0]
    if not is_standard(node, "Flatten", "Reshape", "Squeeze") or before is None or before.shape is None or after.shape is None:
        return False
    return len(after.shape) == 2 and before.shape[1] == after.shape[1] and all(size == 1 for size in list(before.shape)[2:])


def move(graph: ir.Graph, passage: Passage, taken: Array) -> bool:
    """False where a product cannot hold it: then nothing has changed."""
    one = np.ones_like(taken)
    if any(reader.node.op_type == "MatMul" or reader.input_channels != taken.size for reader in passage.readers):
        return False
    writer = read_product(passage.writer.node)
    if writer is None or not scale_outputs(graph, writer, one, -taken):
        return False
    readers: Mapping[ir.Node, Product | None] = {reader.node: read_product(reader.node) for reader in passage.readers}
    return all(product is not None and scale_inputs(graph, product, one, taken) for product in readers.values())
