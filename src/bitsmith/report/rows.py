"""The rows that a report shows: plain data, gathered elsewhere. What nobody measured is None, and is shown as that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["share", "bytes", "count", "decibels", "picojoule", "area", "seconds"]
Role = Literal["activation", "weight", "bias", "constant"]
State = Literal["codes", "inside", "float", "other"]


@dataclass(frozen=True)
class Figure:
    """One line of the verdict: the float network's number and the quantized one's, in the unit that `kind` says."""

    name: str
    before: float | None
    after: float | None
    kind: Kind
    note: str = ""


@dataclass(frozen=True)
class Advice:
    """What to do next, or what is well, in plain words."""

    mood: Literal["good", "look", "act"]
    title: str
    text: str


@dataclass(frozen=True)
class Sensitive:
    """What is lost when one layer alone gets a format and all else stays as it is.

    layer    name of its node
    format   which, and of what: 'int4 weights'
    drop     of accuracy, 0..1: what was lost, negative where it rose
    snr_db   of the outputs against those of the float network: the lower, the more sensitive
    engine   that measured it
    """

    layer: str
    format: str
    drop: float | None = None
    snr_db: float | None = None
    engine: str = ""


@dataclass(frozen=True)
class Tried:
    """One assignment of formats that a search measured.

    name       of its recipe's file; '' where it has none
    bits       mean over all weights
    drop, error  of accuracy on the samples for searching, and its standard error
    confirmed  the drop on samples held out, where anybody looked
    unbeaten   no other one is cheaper and loses less
    """

    name: str
    bits: float
    cost: float
    drop: float
    error: float
    confirmed: float | None = None
    unbeaten: bool = False
    chosen: bool = False


@dataclass(frozen=True)
class Sums:
    """How far the accumulators of one product go.

    terms        products that each adds up
    channels     of the output
    rule_bits    what the rule of thumb says: the widths of both operands and log2 of the terms
    bits, largest   width that none ever leaves, and largest magnitude of all: proven, and attained by some codes
    seen_bits, seen   the same, seen on data; None where there were none
    beyond, seen_beyond   width -> channels that can leave it, and that did
    pairs        channels in which two neighbouring products can leave 16 bits, where x86 without VNNI adds them up so; None elsewhere
    pairs_in_any_order   channels in which some two products could, if they were neighbours
    saturated    sums of pairs that did
    samples      on which it was seen
    """

    layer: str
    operator: str
    output: str
    terms: int
    channels: int
    rule_bits: int
    bits: int
    largest: int
    seen: int | None = None
    seen_bits: int | None = None
    beyond: Mapping[int, int] = field(default_factory=dict)
    seen_beyond: Mapping[int, int] = field(default_factory=dict)
    pairs: int | None = None
    pairs_in_any_order: int | None = None
    saturated: int | None = None
    samples: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "beyond": dict(self.beyond), "seen_beyond": dict(self.seen_beyond)}


@dataclass(frozen=True)
class Layer:
    """One node.

    state               'codes': its result is codes; 'inside': computed within another's codes; 'float': in float; 'other': no floats
    weights, result     formats, '' where there are none
    snr_db              of the result against the float network's
    clipped, underflow  shares of the result's numbers beyond the codes, and of those not 0 that become 0
    sums                its accumulators, where it is a product of codes
    sensitivity         the worst that was measured of the layer
    """

    name: str
    operator: str
    output: str
    state: State
    reason: str
    weights: str = ""
    result: str = ""
    low: float | None = None
    high: float | None = None
    snr_db: float | None = None
    clipped: float | None = None
    underflow: float | None = None
    sums: Sums | None = None
    float_bytes: int = 0
    bytes: int = 0
    macs: int | None = None
    sensitivity: Sensitive | None = None


@dataclass(frozen=True)
class Significant:
    """How many numbers have their most significant bit at each power of two.

    exponents   ascending, as np.frexp counts: 2^(exponent - 1) <= |number| < 2^exponent
    positive, negative   counts, by sign
    zeros       numbers without any bit
    """

    exponents: tuple[int, ...]
    positive: tuple[int, ...]
    negative: tuple[int, ...]
    zeros: int

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(a + b for a, b in zip(self.positive, self.negative, strict=True))

    @property
    def total(self) -> int:
        return sum(self.counts) + self.zeros


@dataclass(frozen=True)
class Distribution:
    """How numbers spread over `low` to `high`, cut into equal parts: shares of all, in float and, where there are any, quantized."""

    low: float
    high: float
    reals: tuple[float, ...]
    quantized: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Channels:
    """Smallest and largest number of every channel, or of every `each` neighbouring ones."""

    axis: int
    low: tuple[float, ...]
    high: tuple[float, ...]
    each: int = 1


@dataclass(frozen=True)
class Lost:
    """How many numbers of each of the bits' exponents a tensor's codes lose.

    below, beyond        become 0, are clipped; both signs together
    positive, negative   either of both, by sign
    """

    below: tuple[int, ...]
    beyond: tuple[int, ...]
    positive: tuple[int, ...]
    negative: tuple[int, ...]


@dataclass(frozen=True)
class ChannelRow:
    """The bits of a channel, or of several: counts by exponent, both signs together, and how many of these are lost at either end."""

    exponents: tuple[int, ...]
    counts: tuple[int, ...]
    below: tuple[int, ...]
    beyond: tuple[int, ...]
    zeros: int = 0


@dataclass(frozen=True)
class ChannelBits:
    """The bits of `channels` channels along an axis: a row for every `each` neighbouring ones."""

    axis: int
    channels: int
    each: int
    rows: tuple[ChannelRow, ...]


@dataclass(frozen=True)
class Tensor:
    """One value of the network.

    source        what was counted, in words
    format        '' in float
    low, high     ends of what its codes can say
    step          the distance of two codes; of the finest block, where there are several
    rounding      the largest error that rounding alone can cause, where codes are equally far apart
    blocks        how many scales it has
    lost          which numbers they lose, by power of two; None in float
    errors        how its errors spread, quantized minus float; None where nobody looked or all are alike
    channel_bits  its bits channel by channel, where these are known
    """

    name: str
    role: Role
    source: str
    bits: Significant
    format: str = ""
    reason: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    rounding: float | None = None
    blocks: int = 1
    clipped: float | None = None
    underflow: float | None = None
    lost: Lost | None = None
    snr_db: float | None = None
    largest_error: float | None = None
    distribution: Distribution | None = None
    errors: Distribution | None = None
    channels: Channels | None = None
    channel_bits: ChannelBits | None = None


@dataclass(frozen=True)
class Confusion:
    """Counts [true class][answered class] of both networks."""

    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Changed:
    """One sample that the two networks answer differently; `png` where its input is an image."""

    sample: int
    label: int | None
    before: int
    after: int
    png: bytes | None = None


@dataclass(frozen=True)
class Answers:
    """How the two networks answer.

    classes  names, or () for numbers
    seen     samples that were compared for `changed`, which holds the first of those that differ
    """

    confusion: Confusion | None = None
    changed: tuple[Changed, ...] = ()
    differing: int = 0
    seen: int = 0
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that one page shows.

    measured   samples over which layers were compared; 0 where none were
    sensitive  how sensitive layers are, the most sensitive first; empty where nobody measured it
    made       how it was made, in words
    texts      title -> text too long for a table: the recipe, the plan
    tried      what a search measured, with the cost that was to be small ('bytes', 'bitops' or 'energy') and the tolerance
    """

    title: str
    figures: tuple[Figure, ...] = ()
    advice: tuple[Advice, ...] = ()
    layers: tuple[Layer, ...] = ()
    tensors: tuple[Tensor, ...] = ()
    answers: Answers = Answers()
    samples: int = 0
    engine: str = ""
    measured: int = 0
    made: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    sensitive: tuple[Sensitive, ...] = ()
    tried: tuple[Tried, ...] = ()
    cost: str = "bytes"
    tolerance: float = 0.0
