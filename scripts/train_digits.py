"""Trains the demonstration network and cuts its data: what `bitsmith demo` runs on. The same versions give the same bytes.

    python scripts/train_digits.py [--folder src/bitsmith/data]        (extras `torch` and `dev`; about a minute on one core)
"""

import argparse
import io
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import version_converter
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

SEED = 2
EPOCHS = 90
BATCH = 32
PEAK_RATE = 4e-3
OPSET = 21
TEST_IMAGES = 500
CALIBRATION_IMAGES = 200
FOLDER = Path(__file__).parent.parent / "src" / "bitsmith" / "data"

Bytes = NDArray[np.uint8]


class DepthwiseSeparable(nn.Module):
    """Each channel by itself, then all channels at each place: [n, c, h, w] -> [n, d, h, w]."""

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.depthwise_relu = nn.ReLU()
        self.pointwise = nn.Conv2d(channels, wider, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(wider)
        self.clip = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise_relu(self.depthwise_norm(self.depthwise(x)))
        return self.clip(self.pointwise_norm(self.pointwise(x)))


class Residual(nn.Module):
    """Two convolutions and the way around them: [n, c, h, w] -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.first_relu = nn.ReLU()
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.first_relu(self.first_norm(self.first(x)))
        return self.relu(self.second_norm(self.second(inner)) + x)


class Digits(nn.Module):
    """One of each thing that quantization has to get right: [n, 1, 8, 8] pixels of 0 to 16 -> [n, 10] logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(24)
        self.stem_relu = nn.ReLU()
        self.separable = DepthwiseSeparable(24, 40)
        self.pool = nn.MaxPool2d(2)
        self.residual = Residual(40)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(40, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.stem_relu(self.stem_norm(self.stem(pixels)))
        x = self.residual(self.pool(self.separable(x)))
        return self.classifier(self.flatten(self.average(x)))


def split() -> dict[str, tuple[Bytes, Bytes]]:
    """Train 1,297, test 500 and, out of the training images, calibration 200; every class in its share."""
    digits = load_digits()
    pixels = digits.images.astype(np.uint8)[:, None]
    labels = digits.target.astype(np.uint8)
    train, test, train_y, test_y = train_test_split(pixels, labels, test_size=TEST_IMAGES, stratify=labels, random_state=SEED)
    _, some, _, some_y = train_test_split(train, train_y, test_size=CALIBRATION_IMAGES, stratify=train_y, random_state=SEED)
    return {"train": (train, train_y), "test": (test, test_y), "calibration": (some, some_y)}


def shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to one pixel each way: the training set is small and its digits touch the border."""
    padded = functional.pad(images, (1, 1, 1, 1))
    corners = torch.randint(0, 3, (len(images), 2), generator=generator).tolist()
    return torch.stack([image[:, top : top + 8, left : left + 8] for image, (top, left) in zip(padded, corners, strict=True)])


def train(images: Tensor, labels: Tensor) -> Digits:
    """AdamW under a one-cycle learning rate; single-threaded, since the order of float additions decides the last bits."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(SEED)
    network = Digits()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator)
        for chosen in order[: len(images) // BATCH * BATCH].split(BATCH):
            logits = network(shift(images[chosen], generator))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def export(network: Digits) -> onnx.ModelProto:
    """By the older exporter of torch: it keeps BatchNormalization and GlobalAveragePool as nodes and names them after their modules."""
    file = io.BytesIO()
    torch.onnx.export(
        network,
        (torch.zeros(1, 1, 8, 8),),
        file,
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_axes={"pixels": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=20,  # its newest
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )
    model = version_converter.convert_version(onnx.load_from_string(file.getvalue()), OPSET)
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    model.graph.name = "digits"
    onnx.checker.check_model(model, full_check=True)
    return model


def accuracy(model: onnx.ModelProto, images: Bytes, labels: Bytes) -> float:
    """Percent right, by onnxruntime on the exported network."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"pixels": images.astype(np.float32)})
    return 100 * float(np.mean(logits.argmax(axis=1) == labels))


def write(path: Path, content: bytes) -> None:
    """Beside, then renamed: a file is whole or not there."""
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(content)
    os.replace(beside, path)


def npz(pixels: Bytes, labels: Bytes) -> bytes:
    """Uncompressed, so that it can be mapped; numpy dates every member 1980, so equal arrays make equal bytes."""
    file = io.BytesIO()
    np.savez(file, pixels=pixels, y=labels)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the three files go")
    folder: Path = parser.parse_args().folder
    parts = split()
    images, labels = parts["train"]
    network = train(torch.from_numpy(images).float(), torch.from_numpy(labels).long())
    model = export(network)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "digits.onnx", model.SerializeToString(deterministic=True))
    for name in ("calibration", "test"):
        write(folder / f"digits-{name}.npz", npz(*parts[name]))
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters; right of train {accuracy(model, *parts['train']):.2f} %, "
          f"of test {accuracy(model, *parts['test']):.2f} %")


if __name__ == "__main__":
    main()
