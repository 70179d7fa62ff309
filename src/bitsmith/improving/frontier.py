"""How far a network was run: what comes behind is computed from values kept there, not from the network's inputs again."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import onnx_ir as ir
from threadpoolctl import threadpool_limits

from bitsmith.calibration.collect import processor_count
from bitsmith.graph import constant
from bitsmith.improving.stepwise import cut_out, fixed_count, has_branches, needed
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session

MOST_KEPT = 2**29       # bytes of values, over all batches
CODES = (ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.UINT16, ir.DataType.INT16)
Batch = dict[str, Array]
T = TypeVar("T")
R = TypeVar("R")


@dataclass
class Frontier:
    """A network whose numbers in front of the frontier stay as they are; behind it they may change.

    batches   the values at the frontier, by name: the network's inputs at first
    passed    nodes in front of it
    """

    network: ir.Model
    batches: Iterable[Batch]
    passed: set[ir.Node] = field(default_factory=set)
    known: Batch = field(default_factory=dict)      # one of the batches, once anything was passed

    @cached_property
    def moves(self) -> bool:
        """False where the network cannot be cut: it has branches, or takes one number of samples only."""
        return not has_branches(self.network) and fixed_count(self.network) is None

    @cached_property
    def values(self) -> dict[str, ir.Value]:
        """Inputs and what nodes make, by name."""
        graph = self.network.graph
        return {v.name or "": v for v in (*graph.inputs, *(v for node in graph for v in node.outputs))}

    def each(self, wanted: Sequence[str], reach: str, look: Callable[[int, Batch], R]) -> Iterator[R]:
        """What `look` makes of the wanted values, batch after batch, on all processors; then the frontier lies at the value `reach`.

        It stays where it is if the values there do not fit into memory, or where it never moves.
        """
        passed, border = self.beyond(reach)
        run = self.runner([*wanted, *border])

        def step(numbered: tuple[int, Batch]) -> tuple[R, Batch]:
            found = run(numbered[1])
            return look(numbered[0], found), {name: found[name] for name in border}

        kept: list[Batch] = []
        size = 0
        for result, batch in in_order(step, enumerate(self.batches)):
            size += sum(array.nbytes for array in batch.values())
            if size <= MOST_KEPT:
                kept.append(batch)
            else:
                kept.clear()
            yield result
        if border and kept:
            self.batches, self.passed, self.known = kept, passed, kept[0]

    def beyond(self, reach: str) -> tuple[set[ir.Node], list[str]]:
        """The nodes that lie in front of a frontier there, and the values that are read behind it, as codes where they have some."""
        passed = self.passed | needed(self.values[reach], self.known)
        if not self.moves:
            return passed, []
        read = (v for node in self.network.graph if node not in passed for v in node.inputs if v is not None and constant(v) is None)
        return passed, list(dict.fromkeys(coded(v).name or "" for v in read if v.producer() is None or v.producer() in passed))

    def runner(self, wanted: Sequence[str]) -> Callable[[Batch], Batch]:
        """A batch at the frontier -> the wanted values."""
        if not self.passed:
            return Session(self.network, wanted, threads=1).run
        missing = [name for name in dict.fromkeys(wanted) if name not in self.known]
        nodes = {node for name in missing for node in needed(self.values[name], self.known)}
        if not missing:
            return lambda batch: batch
        part = cut_out(self.network, [node for node in self.network.graph if node in nodes], self.known, missing)
        session = Session(part, missing, threads=1)
        feeds = [feed.name for feed in session.feeds]
        return lambda batch: batch | session.run({name: batch[name] for name in feeds})


def coded(value: ir.Value) -> ir.Value:
    """The codes of 8 or 16 bits that the value is decoded from, or itself."""
    node = value.producer()
    while node is not None and node.op_type == "Sum" and len(node.inputs) == 1 and node.inputs[0] is not None:      # keeps kernels apart
        node = node.inputs[0].producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None or constant(node.inputs[0]) is not None:
        return value
    zero_point = node.inputs[2].const_value if len(node.inputs) > 2 and node.inputs[2] is not None else None
    return node.inputs[0] if zero_point is not None and zero_point.dtype in CODES else value


def in_order(run: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Like `map`, on as many threads as there are processors; few items wait at once.

    BLAS keeps to the thread that calls it: its own threads beside ours would take half of the speed.
    """
    workers, waiting = processor_count(), deque[Future[R]]()
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers, "refine") as pool:
        for item in items:
            waiting.append(pool.submit(run, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
