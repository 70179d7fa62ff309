"""esp-ppq (the maintained PPQ): default settings for its platform ONNXRUNTIME, exported as Q/DQ."""

import argparse
from pathlib import Path

import numpy as np
import onnx
import timed
import torch
from esp_ppq import QuantizationSettingFactory, TargetPlatform
from esp_ppq.api import export_ppq_graph, quantize_onnx_model

STEPS = 32


def quantize(model: Path, name: str, samples: np.ndarray, output: Path, arguments: argparse.Namespace) -> None:
    size = max(1, len(samples) // STEPS)
    batches = [torch.from_numpy(samples[i : i + size]) for i in range(0, len(samples) - size + 1, size)]
    graph = quantize_onnx_model(
        onnx_import_file=str(model), calib_dataloader=batches, calib_steps=len(batches), input_shape=[1, *samples.shape[1:]],
        platform=TargetPlatform.ONNXRUNTIME, setting=QuantizationSettingFactory.default_setting(), device="cpu",
    )
    export_ppq_graph(graph, platform=TargetPlatform.ONNXRUNTIME, graph_save_to=str(output), config_save_to=f"{output}.json")


def repair(output: Path) -> None:
    """The file says opset 13 and keeps an attribute of opset 14, which onnxruntime refuses."""
    model = onnx.load(output)
    for node in model.graph.node:
        kept = [a for a in node.attribute if not (node.op_type == "Reshape" and a.name == "allowzero")]
        del node.attribute[:]
        node.attribute.extend(kept)
    onnx.save(model, output)


if __name__ == "__main__":
    timed.run(quantize, repair=repair)
