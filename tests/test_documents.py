"""Every command and every line of Python that the README prints can be run as it stands."""

import re
import shlex
import shutil
import sys
import tomllib
import warnings
from importlib.resources import files
from pathlib import Path

import pytest

from bitsmith import cli
from bitsmith.planning.recipe import from_mapping

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the README's files exist: the digits network and its data under the names that it uses."""
    shipped = Path(str(files("bitsmith"))) / "data"
    for ours, name in (("digits.onnx", "net.onnx"), ("digits-calibration.npz", "calibration.npz"), ("digits-test.npz", "test.npz")):
        shutil.copy(shipped / ours, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_of_the_readme_run_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = re.findall(r"^    (bitsmith .+)$", README.read_text(), re.M)
    assert len(commands) >= 5
    if not (shutil.which("cc") or shutil.which("gcc")):
        warnings.warn("there is no C compiler, so the commands about firmware were not run", stacklevel=1)
        commands = [command for command in commands if "verify    firmware" not in command]
    for command in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, command
    assert (folder / "net.int8.onnx").is_file()


def test_python_of_the_readme_runs(folder: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    exec(compile(code, str(README), "exec"), {})
    assert (folder / "net.int8.plan.json").is_file()


def test_recipe_of_the_readme_is_one() -> None:
    (recipe,) = re.findall(r"```toml\n(.*?)```", README.read_text(), re.S)
    assert from_mapping(tomllib.loads(recipe), "readme").ends == 8


@pytest.mark.parametrize("page", [*sorted(README.parent.glob("docs/*.md")), README], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
