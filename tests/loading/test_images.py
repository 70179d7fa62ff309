"""Folders of images become the numbers that the preprocessing says, or the ill image is named."""

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import PIL.Image
import pytest

from bitsmith.errors import DataError
from bitsmith.loading.data import open_data
from bitsmith.loading.from_onnx import load
from bitsmith.loading.images import Preprocessing

NCHW = load(networks.conv_bn_relu())        # [batch, 3, 8, 8]
NHWC = load(networks.nhwc())                # [batch, 8, 8, 3]
RANDOM = np.random.default_rng(0)


def paint(path: Path, height: int = 8, width: int = 8, mode: str = "RGB") -> np.ndarray:
    pixels = RANDOM.integers(0, 256, (height, width, 3) if mode == "RGB" else (height, width)).astype(np.uint8)
    path.parent.mkdir(exist_ok=True, parents=True)
    PIL.Image.fromarray(pixels).save(path)
    return pixels


def read(folder: Path, preprocessing: Preprocessing, network: Any = NCHW) -> np.ndarray:
    return np.concatenate([next(iter(batch.values())) for batch in open_data(folder, network, preprocessing=preprocessing).batches(2)])


def test_numbers_are_those_of_the_equation(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "a.png").astype(np.float64)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    expected = ((pixels / 255 - mean) / std).astype(np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(read(tmp_path, Preprocessing(mean=mean, std=std))[0], expected)
    raw = Preprocessing(scale=1, mean=127.5, std=127.5, layout="nhwc", colours="bgr")
    np.testing.assert_array_equal(read(tmp_path, raw, NHWC)[0], ((pixels - 127.5) / 127.5).astype(np.float32)[:, :, ::-1])


def test_grey(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "a.png", mode="L")
    images = Preprocessing(colours="grey", scale=1)
    np.testing.assert_array_equal(images.apply(PIL.Image.open(tmp_path / "a.png")), pixels[None].astype(np.float32))


def test_sizes_and_crops(tmp_path: Path) -> None:
    pixels = paint(tmp_path / "wide.png", 8, 20)
    middle = (pixels[:, 6:14].astype(np.float64) / 255).astype(np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(read(tmp_path, Preprocessing(crop=8))[0], middle)
    np.testing.assert_array_equal(read(tmp_path, Preprocessing(size=8, crop=(8, 8)))[0], middle)
    assert read(tmp_path, Preprocessing(size=(8, 8))).shape == (1, 3, 8, 8)
    assert read(tmp_path, Preprocessing(size=16, crop=8)).shape == (1, 3, 8, 8)


def test_shrinking_averages(tmp_path: Path) -> None:
    """A chequerboard becomes grey: every pixel counts, none is skipped."""
    board = ((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8)
    PIL.Image.fromarray(board).save(tmp_path / "a.png")
    numbers = read(tmp_path, Preprocessing(size=(8, 8)))
    assert np.all(np.abs(numbers - 0.5) < 0.02)


def test_palettes_are_resized_as_colours(tmp_path: Path) -> None:
    halves = np.repeat(np.uint8([[[255, 0, 0], [0, 0, 255]]]), 8, 0)
    PIL.Image.fromarray(halves).convert("P").save(tmp_path / "a.gif")
    numbers = read(tmp_path, Preprocessing(size=(8, 8)))
    assert np.ptp(numbers[0, 0, 0]) > 0.5
    assert np.allclose(numbers.sum(axis=1), 1, atol=0.05)      # every mixture of red and blue


def test_classes_are_sorted_folders_and_take_turns(tmp_path: Path) -> None:
    for name, count in (("dog", 1), ("cat", 3), ("ant", 2)):
        for index in range(count):
            paint(tmp_path / name / f"{index}.png")
    (tmp_path / "notes").mkdir()
    data = open_data(tmp_path, NCHW, preprocessing=Preprocessing())
    assert (data.samples, list(data.classes)) == (6, ["ant", "cat", "dog"])
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 1]
    assert [labels.tolist() for _, labels in data.limit(4).labelled(3) if labels is not None] == [[0, 1, 2], [0]]
    assert data.every(2).labels.tolist() == [0, 2, 1]


def test_flat_folders_are_sorted_and_have_no_labels(tmp_path: Path) -> None:
    second, first = paint(tmp_path / "b.png"), paint(tmp_path / "a.bmp")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("two images")
    data = open_data(str(tmp_path), NCHW, preprocessing=Preprocessing(scale=1))
    assert data.labels is None
    found = np.concatenate([batch["input"] for batch in data])
    np.testing.assert_array_equal(found, np.stack([first, second]).transpose(0, 3, 1, 2))


def test_real_formats_agree(tmp_path: Path) -> None:
    for suffix in ("png", "bmp", "ppm", "tiff", "webp", "gif"):
        PIL.Image.new("RGB", (8, 8), (0, 255, 0)).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    found = read(tmp_path, Preprocessing())
    assert len(found) == 6
    assert np.all(found == np.float32([0, 1, 0])[:, None, None])


def cut(path: Path) -> None:
    paint(path)
    path.write_bytes(path.read_bytes()[:60])


def deep(path: Path) -> None:
    PIL.Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(path)


def bomb(path: Path) -> None:
    """60,000 x 60,000 pixels in a header of 50 bytes."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IDAT")


@pytest.mark.parametrize(("spoil", "message"), [
    (cut, "cannot be read"),
    (lambda path: path.write_bytes(b"no image"), "cannot be read: cannot identify"),
    (lambda path: path.write_bytes(b""), "cannot be read"),
    (deep, "more than eight bits"),
    (bomb, "pixel"),
    (lambda path: paint(path, 9, 8), r"has the shape \[3, 9, 8\]"),
])
def test_ill_images_are_named(tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    paint(tmp_path / "a.png")
    spoil(tmp_path / "ill.png")
    with warnings.catch_warnings(action="error"), pytest.raises(DataError, match=rf"Image '.*ill.png' .*{message}"):
        read(tmp_path, Preprocessing())     # not even a warning beside the message


def test_images_just_over_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow itself only warns up to twice its limit."""
    paint(tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.raises(DataError, match="it has 64 pixels and 60 are allowed"):
        read(tmp_path, Preprocessing())


@pytest.mark.parametrize(("preprocessing", "network", "message"), [
    (Preprocessing(), NHWC, r"Images in .*, so preprocessed, has the shape \[1, 3, 12, 12\] .*\[samples, 8, 8, 3\]"),
    (Preprocessing(colours="grey"), NCHW, r"\[1, 1, 12, 12\]"),
    (Preprocessing(crop=13), NCHW, "too few for a crop of 13 x 13"),
    (None, NCHW, "say how they become numbers"),
    (Preprocessing(), load(networks.two_in_two_out()), "data for one input, and the network has 2"),
])
def test_preprocessing_must_fit_the_network(tmp_path: Path, preprocessing: Preprocessing | None, network: Any, message: str) -> None:
    paint(tmp_path / "a.png", 12, 12)
    with pytest.raises(DataError, match=message):
        open_data(tmp_path, network, preprocessing=preprocessing)


@pytest.mark.parametrize(("options", "message"), [
    ({"layout": "chw"}, "nchw or nhwc"),
    ({"colours": "hsv"}, "rgb, bgr or grey"),
    ({"size": 0}, "both above 0"),
    ({"crop": (1, 2, 3)}, r"\(height, width\)"),
    ({"mean": (1, 2)}, "one finite number or 3"),
    ({"mean": float("nan")}, "one finite number"),
    ({"std": (1, 0, 1)}, "cannot be 0"),
    ({"scale": float("inf")}, "must be finite"),
])
def test_options_that_no_image_could_have(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Preprocessing(**options)


def test_folders_that_hold_no_or_two_kinds_of_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no images; their names end in \.bmp"):
        open_data(tmp_path, NCHW, preprocessing=Preprocessing())
    paint(tmp_path / "a.png")
    paint(tmp_path / "cats" / "a.png")
    with pytest.raises(DataError, match=r"holds images and folders of images \('cats'\)"):
        open_data(tmp_path, NCHW, preprocessing=Preprocessing())
