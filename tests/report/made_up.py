"""Rows of networks that do not exist, as large and as hostile as one likes."""

import numpy as np

from bitsmith.report.rows import (
    Advice,
    Answers,
    Changed,
    ChannelBits,
    ChannelRow,
    Channels,
    Confusion,
    Distribution,
    Figure,
    Layer,
    Lost,
    Report,
    Significant,
    Sums,
    Tensor,
)

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}</template></style>"


def made_up(layers: int = 3, name: str = "layer", classes: int = 3) -> Report:
    """Seeded rows: an activation, a weight and a bias to each layer."""
    random = np.random.default_rng(0)
    names = [f"{name}.{i}" for i in range(layers)]
    return Report(
        name, (Figure("top-1 accuracy", 0.9, 0.8, "share"), Figure("weights and constants", 4e6, 1e6, "bytes", name)),
        (Advice("act", name, name),),
        tuple(Layer(n, "Conv", n, "float" if i % 7 == 1 else "codes", f"{name} because", "int8 × 64", "uint8", 0.0, 6.0, 30.0 - i % 20,
                    1e-5 * i, 0.1, sums_of(n), 4000, 1000, 10**6) for i, n in enumerate(names)),
        tuple(tensor(f"{n}.{role}", role, random) for n in names for role in ("activation", "weight", "bias")),
        Answers(confusion(classes), (Changed(4, 1, 1, 2), Changed(9, None, 0, 2)), 2, 100, tuple(f"{name} {i}" for i in range(classes))),
        100, "onnxruntime", 64, {"recipe": name}, {"Plan": name},
    )


def sums_of(name: str) -> Sums:
    beyond = {16: 64, 24: 0, 32: 0}
    return Sums(name, "Conv", name, 144, 64, 24, 21, 2**20 - 1, 2**18, 20, beyond, {**beyond, 16: 60}, 11, 64, 12345, 32)


def tensor(name: str, role: str, random: np.random.Generator) -> Tensor:
    exponents = tuple(range(-20, 4))
    positive, negative = (tuple(random.integers(0, 10**6, len(exponents)).tolist()) for _ in range(2))
    shares = random.random((2, 64)) / 64
    ranges = None if role != "weight" else Channels(0, tuple((-random.random(128)).tolist()), tuple(random.random(128).tolist()), 4)
    several, half = role != "activation", tuple(v // 2 if e < -8 else 0 for e, v in zip(exponents, positive, strict=True))
    row = ChannelRow(exponents, positive, half, half, 3)
    return Tensor(name, role, "calibration data", Significant(exponents, positive, negative, 17), "uint8", f"because {name}",  # type: ignore[arg-type]
                  0.0, 6.0, 6 / 255, 3 / 255, 64 if several else 1, 1e-6, 0.25, Lost(half, half, half, half), 31.5, 0.0125,
                  Distribution(-0.01, 6.0, tuple(shares[0].tolist()), tuple(shares[1].tolist())),
                  None if role == "bias" else Distribution(-0.02, 0.0125, tuple(shares[0, :40].tolist())), ranges,
                  None if role == "bias" else ChannelBits(0, 128, 1, (row,) * 128))


def confusion(classes: int) -> Confusion:
    before = tuple(tuple(40 if i == j else (i + j) % 3 for j in range(classes)) for i in range(classes))
    after = tuple(tuple(35 if i == j else (i + 2 * j) % 4 for j in range(classes)) for i in range(classes))
    return Confusion(before, after)
