"""onnxruntime's products of uint8 and int8 are exact integers here, whatever the processor: sessions ask for it."""

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper

from bitsmith.running.session import Session


def test_the_largest_pair_of_products_does_not_saturate() -> None:
    """255 * 127 twice is beyond 16 bits, where AVX2 without VNNI adds pairs up."""
    weights = np.full((64, 8), 127, np.int8)
    node = helper.make_node("MatMulInteger", ["codes", "weights"], ["sums"])
    graph = helper.make_graph(
        [node], "pairs", [helper.make_tensor_value_info("codes", TensorProto.UINT8, ["batch", 64])],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, ["batch", 8])],
        [helper.make_tensor("weights", TensorProto.INT8, weights.shape, weights.tobytes(), raw=True)])
    network = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    sums = Session(network).run({"codes": np.full((4, 64), 255, np.uint8)})["sums"]
    np.testing.assert_array_equal(sums, np.full((4, 8), 64 * 255 * 127))
