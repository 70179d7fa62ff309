"""Sums of two values on a Cortex-M: one element at a time, or two to a word where sums stay small."""

from math import gcd

from bitsmith.integer.instructions import AddRescaled
from bitsmith.integer.rescaling import EvenTotal, FixedTotal, IntegerTotal
from bitsmith.targets.c.call import Call, Entries, Fields, Place
from bitsmith.targets.c.cortex_m_rounding import lack, limits, saturate_part
from bitsmith.targets.c.elementwise import describe_sum, growth
from bitsmith.targets.c.rounding import odd_of

PAIR = 2**16            # numbers of half a word


def describe_fast_sum(step: AddRescaled, place: Place) -> list[Call]:
    """Two values of one shape and order, whose sum with all constants stays in 32 bits, or even in 16."""
    left, right, result = (place.stored[name] for name in (*step.inputs[:2], step.output))
    total = step.total
    alike = len(step.inputs) == 2 and left.shape == right.shape == result.shape and left.order == right.order == result.order
    if not alike or not isinstance(total, (FixedTotal, EvenTotal)) or left.width + right.width > 2:
        return describe_sum(step, place)
    unsigned = {left.c_type, right.c_type, result.c_type} == {"uint8_t"}
    pairs = pair_fields(total) if unsigned else None
    fields = sum_fields(step, total) if pairs is None else pairs
    if fields is None:
        return describe_sum(step, place)
    types = {"left_t": left.c_type, "right_t": right.c_type, "result_t": result.c_type}
    leads = {name: growth(s, result) for name, s in zip(step.inputs, (left, right), strict=True)}
    kernel, parts = ("cortex_m_add", sum_parts(total)) if pairs is None else ("cortex_m_add_pairs", {"dsp": "dsp"})
    return [Call(kernel, types, Fields({"count": result.count, **fields}), step.inputs, step.output,
                 f"sum, {result.count} elements", parts, leads)]


def sum_parts(total: IntegerTotal) -> dict[str, str]:
    """What a sum of two values calls."""
    return {"dsp": "dsp", "saturate": saturate_part(total.codes), "ties": "ties_even" if isinstance(total, EvenTotal) else "ties_upward"}


def sum_fields(step: AddRescaled, total: IntegerTotal) -> Entries | None:
    """How `cortex_m_add` adds two values. None where that leaves 32 bits."""
    multipliers, shift = smallest(total)
    reach = sum(abs(m) * max(map(abs, source.steps)) for m, source in zip(multipliers, step.sources, strict=True))
    odd = odd_of(total)
    if reach + (1 << (shift - 1)) + (odd << shift) >= 2**31:
        return None
    return {"left_multiplier": multipliers[0], "right_multiplier": multipliers[1],
            "start": (first_of(total) + 2**31) % 2**32 - 2**31, "shift": shift,
            "zero_point": total.codes.zero_point + lack(total.codes) - odd, **limits(total.codes)}


def smallest(total: IntegerTotal) -> tuple[list[int], int]:
    """(multipliers, shift) without a power of two that both hold; the shift stays positive."""
    common = gcd(1 << (total.shift - 1), *total.multipliers)
    return [m // common for m in total.multipliers], total.shift - (common.bit_length() - 1)


def first_of(total: IntegerTotal) -> int:
    """With what a sum of products of codes begins: zero points and rounding."""
    multipliers, shift = smallest(total)
    zeros = sum(m * z for m, z in zip(multipliers, total.zero_points, strict=True))
    return (1 << (shift - 1)) - isinstance(total, EvenTotal) + (odd_of(total) << shift) - zeros


def pair_fields(total: IntegerTotal) -> Entries | None:
    """How `cortex_m_add_pairs` adds two values of unsigned codes. None where sums leave 16 bits, ties go upward or codes are clamped."""
    multipliers, shift = smallest(total)
    start = first_of(total)
    steps = -(min(0, start) >> shift)
    steps += steps % 2                                      # an even number, so that ties stay where they are
    zero = total.codes.zero_point - odd_of(total) - steps
    most = 255 * sum(multipliers) + start + (steps << shift) + 1
    if not isinstance(total, EvenTotal) or min(multipliers) < 0 or (total.codes.low, total.codes.high) != (0, 255):
        return None
    if most >= PAIR or (most >> shift) + zero >= PAIR // 2:
        return None
    both = PAIR + 1
    return {"left_multiplier": multipliers[0], "right_multiplier": multipliers[1], "start": (start + (steps << shift)) * both,
            "shift": shift, "mask": ((PAIR - 1) >> shift) * both, "zero": zero % PAIR * both}
