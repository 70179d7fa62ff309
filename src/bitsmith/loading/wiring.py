"""Names in an ONNX graph: every value has one maker, nodes come after what they read, every node has a name of its own."""

from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

import onnx

from bitsmith.errors import LoadError


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:        # onnx's checker refuses one whose type and content differ
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and, after it, all that its nodes hold."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Nodes of the graph and of its subgraphs."""
    for part in all_graphs(graph):
        yield from part.node


def say(node: onnx.NodeProto) -> str:
    """What a message calls a node."""
    return f"{node.op_type} '{node.name or ', '.join(node.output)}'"


def check_wiring(graph: onnx.GraphProto, outside: frozenset[str] = frozenset()) -> None:
    """Raises LoadError where a value is made twice, read or handed out without being made, or needs itself. Sorts unsorted nodes."""
    makers = makers_of(graph)
    visible = outside | makers.keys() | given_names(graph)
    for node in graph.node:
        for missing in (name for name in node.input if name and name not in visible):
            raise LoadError(f"{say(node)} reads '{missing}', which nothing in the file makes.")
        for inner in subgraphs(node):
            check_wiring(inner, frozenset(visible))
    for output in graph.output:
        if output.name not in visible:
            raise LoadError(f"The network's output '{output.name}' is made by no node.")
    sort_nodes(graph, makers)


def given_names(graph: onnx.GraphProto) -> set[str]:
    """Names of inputs and initializers. Raises LoadError where one is missing or given twice."""
    inputs, weights, outputs = ([item.name for item in items] for items in (graph.input, graph.initializer, graph.output))
    for kind, names in (("input", inputs), ("weight", weights), ("output", outputs)):
        if "" in names:
            raise LoadError(f"The {kind} at position {names.index('')} has no name.")
        if kind != "output" and len(set(names)) < len(names):
            raise LoadError(f"Two {kind}s are called '{Counter(names).most_common(1)[0][0]}'.")
    return {*inputs, *weights}


def makers_of(graph: onnx.GraphProto) -> dict[str, int]:
    """The position of the node that makes each value. Raises LoadError where there are two."""
    given, makers = given_names(graph), dict[str, int]()
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers or name in given:
                other = say(graph.node[makers[name]]) if name in makers else "an input or a weight"
                raise LoadError(f"{say(node)} makes '{name}', which is already the name of what {other} gives.")
            makers[name] = index
    return makers


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names a node reads, those that its subgraphs read from outside included."""
    yield from filter(None, node.input)
    for graph in subgraphs(node):
        yield from (output.name for output in graph.output)
        for inner in graph.node:
            yield from reads(inner)


def sort_nodes(graph: onnx.GraphProto, makers: dict[str, int]) -> None:
    """Puts every node after those whose values it reads. Raises LoadError where nodes need each other."""
    needs = {i: {makers[name] for name in reads(node) if name in makers} for i, node in enumerate(graph.node)}
    if all(maker < i for i, earlier in needs.items() for maker in earlier):
        return
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = [say(graph.node[i]) for i in reversed(error.args[1])]
        shown = " -> ".join(circle if len(circle) <= 5 else [*circle[:3], f"... {len(circle) - 4} more ...", circle[-1]])
        raise LoadError(f"Nodes need each other's values: {shown}.") from None
    nodes = [graph.node[i] for i in order]
    del graph.node[:]
    graph.node.extend(nodes)


def name_nodes(graph: onnx.GraphProto) -> None:
    """Gives nameless nodes, and later ones of an equal name, the name of their operator and first output."""
    spoken_for = {node.name for node in all_nodes(graph)}
    seen = set[str]()
    for node in all_nodes(graph):
        if not node.name or node.name in seen:
            node.name = free_name(f"{node.op_type}_{next(filter(None, node.output), 'nothing')}", spoken_for)
            spoken_for.add(node.name)
        seen.add(node.name)


def free_name(wanted: str, taken: set[str]) -> str:
    """The wanted name, or the first of wanted_1, wanted_2 ... that nobody has."""
    name, count = wanted, 1
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    return name
