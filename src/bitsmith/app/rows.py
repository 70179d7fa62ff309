"""What the page shows of the network: layer by layer, its tensors in rows, with what can be chosen for each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from bitsmith.analysis.cost import weight_arrays
from bitsmith.app.choices import Choices, Place, Role, formats_for
from bitsmith.app.studio import Preview, Studio
from bitsmith.planning.accepts import Accepts
from bitsmith.report.rows import Figure, Layer, Tensor
from bitsmith.targets import target_named


@dataclass(frozen=True)
class Control:
    """A format that can be chosen: `current` is one of the options (value, words)."""

    key: str
    role: Role
    label: str
    current: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Row:
    """A tensor, and what can be chosen for it."""

    tensor: Tensor
    control: Control | None = None


@dataclass(frozen=True)
class Group:
    """One place of the network with its rows; `layer` is what became of its last node, None for an input, and why of its first."""

    place: Place
    layer: Layer | None
    why: str
    macs: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Owners:
    """Which place a tensor belongs to, and which tensors are the weights of one."""

    places: Mapping[str, str]
    weights: frozenset[str]


def owners_of(graph: ir.Graph, places: Mapping[str, Place]) -> Owners:
    """A constant belongs to the first node that reads it."""
    found = {value: place.key for place in places.values() for value in place.values}
    weights = set()
    for node in graph:
        key = found.get(node.outputs[0].name or "", "")
        if "weights" in places[key].roles:
            weights |= {v.name or "" for v in weight_arrays(node)}
        for value in (v for v in node.inputs if v is not None and v.name):
            found.setdefault(value.name or "", key)
    return Owners(found, frozenset(weights))


def groups_of(studio: Studio, preview: Preview) -> Iterator[Group]:
    """One for every place, in the network's order. Before calibration nobody knows what will become of a layer."""
    owners, choices = owners_of(studio.given.network.graph, studio.places), preview.choices
    accepts = target_named(choices.target).accepts
    tensors: dict[str, list[Tensor]] = {}
    for tensor in preview.tensors:
        tensors.setdefault(owners.places.get(tensor.name, ""), []).append(tensor)
    layers = {layer.output: layer for layer in preview.layers if preview.counted}
    for place in studio.places.values():
        rows = tuple(Row(t, control_of(t, place, owners, choices, accepts)) for t in tensors.get(place.key, ()))
        first, last = layers.get(place.key), layers.get(place.chosen)
        why = first.reason if first is not None and last is not None and last.state == "float" else ""
        yield Group(place, last, why, (first.macs or 0) if first is not None else 0, rows)


def control_of(tensor: Tensor, place: Place, owners: Owners, choices: Choices, accepts: Accepts) -> Control | None:
    """What can be chosen for a tensor: the weights of its layer, where it is one, or the layer's results."""
    role: Role = "weights" if tensor.role == "weight" else "activations"
    own = tensor.name in owners.weights if role == "weights" else tensor.name == place.chosen
    if not own or role not in place.roles:
        return None
    chosen = choices.weights if role == "weights" else choices.activations
    current, options = chosen.get(place.key, ""), formats_for(place, role, accepts)
    if current not in dict(options):
        options.append((current, current))
    what = "weights" if role == "weights" else "results"
    return Control(place.key, role, f"Format of the {what} of {place.name}", current, tuple(options))


def row_of(studio: Studio, name: str) -> Row | None:
    """The row of one tensor; None where there is none of this name."""
    for group in groups_of(studio, studio.preview):
        for row in group.rows:
            if row.tensor.name == name:
                return row
    return None


def foreseen(preview: Preview) -> tuple[Figure, ...]:
    """What can be said before anything is measured."""
    floats = [x for x in preview.layers if x.state == "float"]
    macs, wide = (sum(x.macs or 0 for x in layers) for layers in (preview.layers, floats))
    weights = Figure("weights and constants", *preview.bytes, "bytes")
    return (weights, Figure("multiply-accumulates in float", macs, wide, "count")) if preview.counted else (weights,)


def in_float(preview: Preview) -> int | None:
    """How many layers stay in float; None before calibration."""
    return sum(x.state == "float" for x in preview.layers) if preview.counted else None
