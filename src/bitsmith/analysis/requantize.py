"""What the way from accumulators to codes changes: the same network requantized by a float scale and by integers alone."""

import numpy as np

from bitsmith.analysis.engines import Subject
from bitsmith.analysis.verify import best
from bitsmith.loading.data import Data

SAMPLES = 64        # run at a time


def compare_requantization(subject: Subject, data: Data) -> str:
    """In a sentence: on how many samples the answer of the first output is another one, and top-1 either way where there are labels."""
    engines = [subject.engine(name) for name in ("program", "program-fixed-point")]
    seen = apart = labelled = 0
    right = np.zeros(2, np.int64)
    for batch, labels in data.labelled(SAMPLES):
        found = [best(next(iter(engine(batch).values()))) for engine in engines]
        seen += len(found[0])
        apart += int((found[0] != found[1]).any(1).sum())
        if labels is not None and found[0].shape[1] == 1:
            labelled += len(labels)
            right += [int((answers[:, 0] == np.ravel(labels)).sum()) for answers in found]
    said = f"between a float scale and integers alone, {apart} of {seen} answers differ"
    if not labelled:
        return said
    float_scale, integers = (100 * share for share in right / labelled)
    return f"{said}; top-1 {float_scale:.2f} % and {integers:.2f} %"
