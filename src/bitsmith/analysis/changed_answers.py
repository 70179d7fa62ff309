"""Which samples two networks answer differently, and what they look like."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from bitsmith.analysis.engines import Engine
from bitsmith.numerics.formats import Array
from bitsmith.report.rows import Changed

MOST_SHOWN = 24
LARGEST_SIDE = 96           # pixels
SMALLEST_SIDE = 4           # below that it is no image


def changed_answers(
    batches: Iterable[tuple[dict[str, Array], Array | None]], before: Engine, after: Engine
) -> tuple[list[Changed], int, int]:
    """(the first samples whose answers differ, how many differ, samples seen). The answer is the arg-max of the first output."""
    found: list[Changed] = []
    differing = seen = 0
    for batch, labels in batches:
        first, second = (answers(run(batch)) for run in (before, after))
        if first is None or second is None:
            return [], 0, 0
        places = np.flatnonzero(first != second)
        pictures = next(iter(batch.values()))
        for place in places[:MOST_SHOWN - len(found)].tolist():
            label = None if labels is None or np.ndim(labels) != 1 else int(labels[place])
            found.append(Changed(seen + place, label, int(first[place]), int(second[place]), as_png(pictures[place])))
        differing, seen = differing + len(places), seen + len(first)
    return found, differing, seen


def answers(outputs: dict[str, Array]) -> Array | None:
    """int [samples]; None where the first output is not one score for each class."""
    scores = next(iter(outputs.values()))
    if scores.dtype.kind in "iu":       # the network ends in answers
        return scores.reshape(-1) if scores.size == len(scores) else None
    if scores.ndim > 2 and max(scores.shape[2:]) == 1:      # [samples, classes, 1, 1]
        scores = scores.reshape(scores.shape[:2])
    return scores.argmax(1) if scores.ndim == 2 and scores.shape[1] > 1 else None


def as_png(sample: Array) -> bytes | None:
    """A picture of one input: [1 or 3 channels, height, width], or channels last; its numbers are stretched over black to white."""
    pixels = channels_last(sample)
    if pixels is None or not np.isfinite(pixels).all():
        return None
    from PIL import Image

    low, high = float(pixels.min()), float(pixels.max())
    grey = np.rint((pixels.astype(np.float64) - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
    image: Any = Image.fromarray(grey[:, :, 0] if grey.shape[2] == 1 else grey)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def channels_last(sample: Array) -> Array | None:
    """[height, width, 1 or 3]; None where the sample is no image."""
    if sample.ndim != 3 or sample.dtype.kind not in "fiu":
        return None
    turned = sample.transpose(1, 2, 0) if sample.shape[0] in (1, 3) else sample
    return turned if turned.shape[2] in (1, 3) and min(turned.shape[:2]) >= SMALLEST_SIDE else None
