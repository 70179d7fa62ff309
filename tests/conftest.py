"""Lets every test import networks.py beside this file, and knows where real networks lie, where they do."""

from importlib.resources import as_file, files
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)     # a busy one is no failure
settings.load_profile("any machine")

REAL = Path(__file__).resolve().parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real_folder() -> Path:
    """The folder of real networks and data; tests that need it skip, saying so, where it is absent."""
    if not REAL.is_dir():
        pytest.skip("the real networks (../shared/real) are not here")
    return REAL


@pytest.fixture
def digits_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: with the digits in it, and forgotten afterwards."""
    with as_file(files("bitsmith") / "data") as shipped:
        for name in ("digits.onnx", "digits-calibration.npz", "digits-test.npz"):
            (tmp_path / name).write_bytes((shipped / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path
