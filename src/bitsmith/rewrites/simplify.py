"""All rewrites, in order, until none finds anything more to do."""

from collections.abc import Callable

import onnx_ir as ir

from bitsmith.rewrites.fold_batch_norm import fold_batch_norm
from bitsmith.rewrites.fold_constants import fold_constants
from bitsmith.rewrites.fold_scales import fold_scales
from bitsmith.rewrites.merge_bias import merge_bias
from bitsmith.rewrites.remove_identities import remove_identities
from bitsmith.rewrites.unscale_gemm import unscale_gemm
from bitsmith.rewrites.unshare_biases import unshare_biases

# Constants first, as all others look for them; unshare_biases last, as folding unshares by itself what it touches.
REWRITES: tuple[Callable[[ir.Graph], bool], ...] = (
    remove_identities, fold_constants, merge_bias, unscale_gemm, fold_batch_norm, fold_scales, unshare_biases,
)  # fmt: skip
MOST_ROUNDS = 10


def simplify(model: ir.Model) -> list[str]:
    """Rewrites the network, which must be in normal form, in place; it computes the same but for the rounding of floats.

    Names of inputs and results stay, and so do those of weights that one node alone reads. What stands in subgraphs stays as it is.
    Returns the names of the rewrites that changed something.
    """
    changed = set[str]()
    for _ in range(MOST_ROUNDS):
        found = {rewrite.__name__ for rewrite in REWRITES if rewrite(model.graph)}
        if not found:
            break
        changed |= found
    return [rewrite.__name__ for rewrite in REWRITES if rewrite.__name__ in changed]
