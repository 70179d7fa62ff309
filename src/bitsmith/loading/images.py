"""Folders of images: which files, in which order, and how pixels become numbers."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bitsmith.errors import DataError
from bitsmith.loading.arrays import ILL
from bitsmith.numerics.formats import Array

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
MODES = {"rgb": "RGB", "bgr": "RGB", "grey": "L"}
DEEP = ("I", "F")       # how Pillow's names of modes with more than eight bits begin
BILINEAR = 2            # PIL.Image.Resampling.BILINEAR, which averages over all pixels when shrinking


@dataclass(frozen=True)
class Preprocessing:
    """number = (pixel * scale - mean) / std, pixel being 0 to 255.

    size        resized (bilinear) to (height, width), or so that the shorter side is this; None: as the file has it
    crop        then cut out of the middle: (height, width), or a square; None: nothing cut
    mean, std   one for all channels or one each, in the order of `colours`
    scale       1/255 for networks that eat 0 to 1, 1 for those that eat 0 to 255
    layout      'nchw': samples, channels, height, width; 'nhwc': channels last
    colours     'rgb', 'bgr' or 'grey'
    """

    size: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0
    scale: float = 1 / 255
    layout: Literal["nchw", "nhwc"] = "nchw"
    colours: Literal["rgb", "bgr", "grey"] = "rgb"

    def __post_init__(self) -> None:
        """Raises DataError for options that no image could have."""
        if self.layout not in ("nchw", "nhwc") or self.colours not in MODES:
            raise DataError(f"Images are laid out nchw or nhwc in rgb, bgr or grey, not {self.layout} in {self.colours}.")
        for name, value in (("size", self.size), ("crop", self.crop)):
            if value is not None and not (len(sides := np.atleast_1d(value)) <= 2 and (sides > 0).all()):
                raise DataError(f"The {name} of images is a number or (height, width), both above 0, not {value}.")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if np.size(numbers) not in (1, self.channels) or not np.isfinite(numbers).all():
                raise DataError(f"The {name} of images is one finite number or {self.channels}, not {numbers}.")
        if not np.all(self.std) or not np.isfinite(self.scale):
            raise DataError(f"The std of images cannot be 0 and their scale must be finite; they are {self.std} and {self.scale}.")

    @property
    def channels(self) -> int:
        return 1 if self.colours == "grey" else 3

    def apply(self, image: "Image") -> Array:
        """[channels, height, width], or channels last. Raises DataError where the crop is larger than the image."""
        cut = self.cut_out(self.resize(image.convert(MODES[self.colours])))     # a palette's numbers cannot be averaged
        pixels = np.asarray(cut).reshape(cut.height, cut.width, self.channels)
        if self.colours == "bgr":
            pixels = pixels[:, :, ::-1]
        numbers: Array = self.table[pixels, np.arange(self.channels)]
        return numbers if self.layout == "nhwc" else numbers.transpose(2, 0, 1)

    @cached_property
    def table(self) -> Array:
        """float32 [256, channels]: the number of each pixel value, rounded once; uint8 where no option changes it."""
        pixels = np.arange(256)[:, None] * np.float64(self.scale)
        numbers = (pixels - np.asarray(self.mean)) / np.asarray(self.std)
        raw = self.scale == 1 and np.all(np.asarray(self.mean) == 0) and np.all(np.asarray(self.std) == 1)
        return np.broadcast_to(numbers, (256, self.channels)).astype(np.uint8 if raw else np.float32)

    def resize(self, image: "Image") -> "Image":
        if self.size is None:
            return image
        if isinstance(self.size, int):
            short = min(image.size)
            width, height = (max(1, side * self.size // short) for side in image.size)
        else:
            height, width = self.size
        return image if image.size == (width, height) else image.resize((width, height), BILINEAR)

    def cut_out(self, image: "Image") -> "Image":
        if self.crop is None:
            return image
        height, width = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        if left < 0 or top < 0:
            raise DataError(f"it has {image.height} x {image.width} pixels, too few for a crop of {height} x {width}; resize it (size)")
        return image.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class Images:
    """Image files as one lazy array: decoded when a part is read, and no longer kept than that."""

    files: Sequence[Path]
    preprocessing: Preprocessing

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first image; one of another shape is refused when it comes."""
        return (len(self.files), *self.read(self.files[0]).shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.preprocessing.table.dtype

    def parts(self, size: int, step: int = 1) -> Iterator[Array]:
        shape = self.shape[1:]
        for start in range(0, len(self.files), size * step):
            files = self.files[start:start + size * step:step]
            part = np.empty((len(files), *shape), self.dtype)
            for row, file in enumerate(files):
                image = self.read(file)
                if image.shape != shape:
                    raise DataError(f"Image '{file}' has the shape {list(image.shape)} and '{self.files[0]}' {list(shape)}; "
                                    "bring them to one size (size, crop).")
                part[row] = image
            yield part

    def between(self, first: int, end: int) -> "Images":
        return replace(self, files=self.files[first:end])

    def read(self, file: Path) -> Array:
        """Raises DataError naming the file."""
        import PIL.Image

        most = PIL.Image.MAX_IMAGE_PIXELS
        try:
            with warnings.catch_warnings(action="ignore"), PIL.Image.open(file) as image:
                if most is not None and image.width * image.height > most:
                    raise DataError(f"it has {image.width * image.height} pixels and {most} are allowed (PIL.Image.MAX_IMAGE_PIXELS)")
                if image.mode.startswith(DEEP):
                    raise DataError(f"it has more than eight bits for each pixel (mode {image.mode}); save it with eight")
                return self.preprocessing.apply(image)
        except DataError as error:
            raise DataError(f"Image '{file}' cannot be used: {error}.") from None
        except (PIL.Image.DecompressionBombError, *ILL) as error:
            raise DataError(f"Image '{file}' cannot be read: {' '.join(str(error).split()).rstrip('.')}.") from error


def list_images(folder: Path) -> tuple[list[Path], list[int] | None, list[str]]:
    """Files, labels and names of classes: subfolders are classes, sorted by name, and take turns, so that any beginning is balanced.

    Without subfolders the files are sorted by name and have no labels. Raises DataError for no images, and for images beside classes.
    """
    own = images_in(folder)
    classes = {part.name: files for part in sorted(folder.iterdir()) if part.is_dir() and (files := images_in(part))}
    if own and classes:
        raise DataError(f"'{folder}' holds images and folders of images ('{next(iter(classes))}'); keep one or the other.")
    if not own and not classes:
        raise DataError(f"'{folder}' holds no images; their names end in {', '.join(sorted(SUFFIXES))}.")
    if own:
        return own, None, []
    turns = zip_longest(*([(file, label) for file in files] for label, files in enumerate(classes.values())))
    pairs = [pair for pair in chain.from_iterable(turns) if pair is not None]
    return [file for file, _ in pairs], [label for _, label in pairs], list(classes)


def images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file())
