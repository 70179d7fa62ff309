"""The command line on the digits network: every command, what `--json` prints, and every mistake in one line."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bitsmith import cli
from bitsmith.version import VERSION

DATA = Path(str(files("bitsmith") / "data"))
NET, CALIBRATION, TEST = (str(DATA / name) for name in ("digits.onnx", "digits-calibration.npz", "digits-test.npz"))
COMMANDS = ["inspect", "calibrate", "merge", "quantize", "evaluate", "verify", "fixed-point", "plan show", "plan diff", "demo"]
ROOT = Path(__file__).parents[1]


def run(*args: Any, columns: int = 80) -> Result:
    return CliRunner(env={"COLUMNS": str(columns), "TERMINAL_WIDTH": str(columns)}).invoke(cli.app, [str(a) for a in args])


def succeed(*args: Any, columns: int = 80) -> str:
    """What a command prints; it says nothing on standard error, and its lines fit."""
    result = run(*args, columns=columns)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert all(len(line) <= columns for line in result.stdout.splitlines()), result.stdout
    return result.stdout


def as_json(*args: Any) -> dict[str, Any]:
    """The one JSON object that a command prints."""
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a quantized network, its plan, and statistics, made by commands."""
    folder = tmp_path_factory.mktemp("made")
    succeed("calibrate", NET, "--data", CALIBRATION, "-o", folder / "net.stats")
    succeed("quantize", NET, "--stats", folder / "net.stats", "--everything", "-o", folder / "net.int8.onnx")
    succeed("quantize", NET, "--stats", folder / "net.stats", "--recipe", "int4", "--everything", "-o", folder / "net.int4.onnx")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: empty, and forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


# Every command


def test_help_names_every_command_and_fits() -> None:
    text = succeed("--help")
    assert all(command.split()[0] in text for command in COMMANDS)
    assert "bitsmith demo" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_on_lines_of_its_own(command: str) -> None:
    lines = [line.strip() for line in succeed(*command.split(), "--help").splitlines()]
    example = next(line for line in lines if line.startswith(f"bitsmith {command}"))
    assert not example.endswith(" -o")
    assert "Example" in lines[lines.index(example) - 1]


def test_version() -> None:
    assert succeed("--version") == f"bitsmith {VERSION}\n"


def test_without_a_command_there_is_help_and_status_2() -> None:
    result = run()
    assert result.exit_code == 2
    assert "Usage: " in result.output


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_inspect_shows_layers_and_widths(columns: int) -> None:
    text = succeed("inspect", NET, columns=columns)
    assert "15 layers, 30,772 parameters, 550,288 MACs for one sample" in text
    assert "[batch, 1, 8, 8]" in text
    assert "30.6 KB" in text
    assert "…" not in text


def test_inspect_as_json_has_exact_numbers() -> None:
    found = as_json("inspect", NET)
    assert found["parameters"] == 30772
    assert found["inputs"] == {"pixels": ["batch", 1, 8, 8]}
    assert [layer["operator"] for layer in found["layers"]][:3] == ["Conv", "Relu", "Conv"]
    assert found["weight_bytes"]["8"] * 4 == found["weight_bytes"]["32"]


def test_calibrate_shows_ranges_and_names_its_file(here: Path) -> None:
    text = succeed("calibrate", NET, "--data", CALIBRATION, "--limit", 50, "-o", "net.stats")
    assert "wrote net.stats" in text
    assert "49." in text
    assert [p.name for p in here.iterdir()] == ["net.stats"]


def test_calibrate_counts_every_number_of_the_samples_asked_for(here: Path) -> None:
    found = as_json("calibrate", NET, "--data", CALIBRATION, "--limit", 50, "-o", "net.stats")
    assert found["file"] == "net.stats"
    assert found["values"]["pixels"] == {"numbers": 50 * 64, "minimum": 0, "maximum": 16, "mean": pytest.approx(4.9, abs=0.2), "nan": 0}


def test_merge_adds(made: Path, here: Path) -> None:
    once = as_json("merge", made / "net.stats", "-o", "once.stats")
    twice = as_json("merge", made / "net.stats", made / "net.stats", "-o", "twice.stats")
    assert twice["values"]["logits"]["numbers"] == 2 * once["values"]["logits"]["numbers"]
    assert Path("once.stats").read_bytes() == (made / "net.stats").read_bytes()
    assert "wrote again.stats" in succeed("merge", "once.stats", "twice.stats", "-o", "again.stats")


def test_quantize_measures_and_writes(here: Path) -> None:
    text = succeed("quantize", NET, "--data", CALIBRATION, "--test", TEST, "-o", "net.int8.onnx")
    assert "99.20 %" in text
    assert "times smaller" in text
    assert "500 samples, engine onnxruntime" in text
    assert "faster in float32" in text
    assert sorted(p.name for p in here.iterdir()) == ["net.int8.onnx", "net.int8.plan.json"]
    onnx.checker.check_model("net.int8.onnx", full_check=True)


def test_quantize_as_json(here: Path) -> None:
    found = as_json("quantize", NET, "--data", CALIBRATION, "--test", TEST, "--everything", "-o", "net.onnx")
    assert found["files"] == ["net.onnx", "net.plan.json"]
    assert found["target"] == "onnxruntime"
    assert found["encoded"] == len(json.loads(Path("net.plan.json").read_text())["encodings"])
    assert found["reasons"] == {}
    assert found["quantized"]["top1"] >= found["float"]["top1"] - 0.01
    assert sum(map(sum, found["quantized"]["confusion"])) == 500


def test_statistics_serve_as_data_do(made: Path, here: Path) -> None:
    for source, output in ((("--data", CALIBRATION), "a.onnx"), (("--stats", made / "net.stats"), "b.onnx")):
        succeed("quantize", NET, *source, "--everything", "--refine", "none", "-o", output)
    assert Path("a.onnx").read_bytes() == Path("b.onnx").read_bytes()


def test_a_recipe_may_be_a_file(made: Path, here: Path) -> None:
    Path("mine.toml").write_text('everything = true\n[[rules]]\nmatch = "/stem/Conv"\nweights = "float"\nactivations = "float"\n')
    found = as_json("quantize", NET, "--stats", made / "net.stats", "--recipe", "mine.toml", "-o", "net.onnx")
    assert "/stem/Conv" in found["reasons"]


@pytest.mark.parametrize("target", ["tensorrt", "onnx"])
def test_targets_are_chosen_by_name(target: str, made: Path, here: Path) -> None:
    assert as_json("quantize", NET, "--stats", made / "net.stats", "--target", target, "-o", "net.onnx")["target"] == target
    onnx.checker.check_model("net.onnx", full_check=True)


def test_weights_alone_need_no_data(here: Path) -> None:
    assert "everything" not in succeed("quantize", NET, "--recipe", "weights_int8", "-o", "net.onnx")


def image_folders(folder: Path) -> str:
    """Ten test images for each digit, in one folder for each class."""
    arrays = np.load(TEST)
    for digit in range(10):
        (folder / str(digit)).mkdir(parents=True)
        for number, pixels in enumerate(arrays["pixels"][arrays["y"] == digit][:10]):
            Image.fromarray((pixels[0].astype(np.uint16) * 255 // 16).astype(np.uint8)).save(folder / str(digit) / f"{number}.png")
    return str(folder)


def test_images_in_one_folder_for_each_class(here: Path) -> None:
    folder = image_folders(here / "images")
    options = ["--image", "size=8", "--image", "colours=grey", "--image", "scale=16/255"]
    found = as_json("quantize", NET, "--data", folder, "--test", folder, *options, "-o", "net.onnx")
    assert found["float"]["samples"] == 100
    assert found["float"]["top1"] > 0.95
    assert found["quantized"]["top1"] > 0.95
    mixed = as_json("quantize", NET, "--data", folder, "--test", TEST, *options, "-o", "mixed.onnx")
    assert mixed["quantized"]["samples"] == 500
    assert as_json("evaluate", "net.onnx", "--data", folder, *options, "--limit", 30)["samples"] == 30


@pytest.mark.parametrize("engine", ["onnxruntime", "simulated", "program"])
def test_evaluate_against_the_float_network(engine: str, made: Path) -> None:
    arguments = ("evaluate", made / "net.int8.onnx", "--data", TEST, "--against", NET, "--engine", engine)
    text = succeed(*arguments, columns=200)
    assert f"500 samples, engine {engine}, against" in text
    assert "true class (rows) and answer (columns)" in text
    found = as_json(*arguments)
    assert found["engine"] == engine
    assert found["top1"] == pytest.approx(0.992, abs=0.004)
    assert found["agreement"] > 0.99
    assert found["snr_db"] > 25


def test_metrics_of_ones_own(made: Path, here: Path) -> None:
    Path("my_own_metrics.py").write_text("def share(outputs, labels):\n    return (outputs['logits'].argmax(1) == labels).mean()\n")
    arguments = ("evaluate", NET, "--data", TEST, "--metric", "my_own_metrics:share")
    assert as_json(*arguments)["metrics"] == {"my_own_metrics:share": pytest.approx(0.992)}
    assert ["my_own_metrics:share", "0.992"] in [line.split() for line in succeed(*arguments).splitlines()]


def test_infinities_are_null_in_json() -> None:
    assert as_json("evaluate", NET, "--data", TEST, "--against", NET)["snr_db"] is None
    assert "no noise" in succeed("evaluate", NET, "--data", TEST, "--against", NET, columns=200)


def test_verify(made: Path) -> None:
    found = as_json("verify", made / "net.int8.onnx", "--data", TEST, "--limit", 100)
    assert found["samples"] == 100
    assert found["exact"] is True
    assert [(c["first"], c["second"]) for c in found["comparisons"]][-1] == ("program", "onnxruntime")
    text = succeed("verify", made / "net.int8.onnx", "--data", TEST)
    assert "agree in every code" in text
    assert "simulated - onnxruntime " in text


def test_plan_show(made: Path) -> None:
    found = as_json("plan", "show", made / "net.int8.plan.json")
    assert found["values"]["pixels"] == "uint8 [0, 16]"
    assert found["made_with"]["target"] == "onnxruntime"
    assert "uint8 [0, 16]" in succeed("plan", "show", made / "net.int8.plan.json")


def test_plan_diff(made: Path) -> None:
    plans = [made / "net.int8.plan.json", made / "net.int4.plan.json"]
    found = as_json("plan", "diff", *plans)["differences"]
    assert "residual.first.weight" in [d["name"] for d in found]
    assert "int4 x 40" in succeed("plan", "diff", *plans, columns=120)
    assert succeed("plan", "diff", plans[0], plans[0]) == "The plans treat every value alike.\n"


def test_demo_as_json(here: Path) -> None:
    found = as_json("demo")
    assert list(found["engines"]) == ["onnxruntime", "simulated", "program"]
    assert all(measured["top1"] == pytest.approx(0.992) for measured in found["engines"].values())
    assert found["verification"]["exact"] is True
    assert sorted(p.name for p in here.iterdir()) == ["digits.int8.onnx", "digits.int8.plan.json"]


# Mistakes. Each is told on standard error with exit status 2 and leaves no file.

CALIBRATE, QUANTIZE, EVALUATE = ("calibrate", NET), ("quantize", NET, "-o", "out.onnx"), ("evaluate", NET)
GOOD = ("--data", CALIBRATION)
MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("nonsense",), "No such command 'nonsense'"),
    (("inspect",), "Missing argument"),
    (("inspect", NET, "--jsonn"), "No such option"),
    (("inspect", "no.onnx"), "There is no file 'no.onnx'."),
    (("inspect", "."), "is a folder"),
    (("inspect", "x" * 300), "File name too long"),
    ((*EVALUATE, "--data", "x" * 300), "File name too long"),
    (("inspect", CALIBRATION), "not ONNX; data are given with --data"),
    (("inspect", "text.npz"), "not an ONNX file"),
    (("inspect", "cut.onnx"), "'cut.onnx'"),
    ((*CALIBRATE, "-o", "out.stats"), "Missing option '--data'"),
    ((*CALIBRATE, *GOOD), "Missing option '--output'"),
    ((*CALIBRATE, *GOOD, "-o", "no/such/out.stats"), "there is no folder 'no/such'"),
    ((*CALIBRATE, *GOOD, "-o", "."), "that is a folder"),
    ((*CALIBRATE, *GOOD, "-o", ""), "that is a folder"),
    ((*CALIBRATE, *GOOD, "-o", "x" * 300), "File name too long"),
    ((*CALIBRATE, *GOOD, "-o", "out.stats", "--limit", "0"), "--limit"),
    ((*CALIBRATE, *GOOD, "-o", "out.stats", "--image", "size=8"), "is no folder"),
    ((*CALIBRATE, *GOOD, "-o", "out.stats", "--image", "colour"), "no option 'colour'"),
    ((*CALIBRATE, "--data", "empty", "-o", "out.stats", "--image", "size=8"), "'empty'"),
    ((*CALIBRATE, "--data", "empty", "-o", "out.stats"), "--image"),
    *[
        ((*CALIBRATE, "--data", name, "-o", "out.stats"), words)
        for name, words in {
            "no.npz": "There is no file 'no.npz'",
            "text.npz": "not a zip file",
            "text.csv": "neither .npz nor .npy",
            "names.npz": "needs 'pixels'",
            "shape.npz": "needs [samples, 1, 8, 8]",
            "rank.npy": "[4, 64]",
            "words.npz": "type <U",
            "objects.npz": "nothing is unpickled",
            "nan.npz": "must be finite",
            "none.npz": "is empty",
        }.items()
    ],
    (("merge", "-o", "out.stats"), "Missing argument"),
    (("merge", "no.stats", "-o", "out.stats"), "There is no file 'no.stats'"),
    (("merge", CALIBRATION, "-o", "out.stats"), "no sound file of statistics"),
    (("quantize", NET, *GOOD), "Missing option '--output'"),
    (("quantize", NET, *GOOD, "-o", "out"), "must end in .onnx"),
    (("quantize", NET, *GOOD, "-o", ".onnx"), "must end in .onnx"),
    (("quantize", "own.onnx", *GOOD, "-o", "own.onnx"), "is the network itself"),
    (("quantize", NET, *GOOD, "-o", "no/out.onnx"), "there is no folder 'no'"),
    (QUANTIZE, "give calibration data or statistics"),
    ((*QUANTIZE, *GOOD, "--stats", "net.stats"), "not both"),
    ((*QUANTIZE, "--stats", CALIBRATION), "no sound file of statistics"),
    ((*QUANTIZE, *GOOD, "--recipe", "int9"), "No recipe is called 'int9'"),
    ((*QUANTIZE, *GOOD, "--recipe", "no.toml"), "no such .toml file"),
    ((*QUANTIZE, *GOOD, "--recipe", "text.toml"), "cannot be read as TOML"),
    ((*QUANTIZE, *GOOD, "--recipe", "key.toml"), "no key 'rule'"),
    ((*QUANTIZE, *GOOD, "--target", "tflite"), "No target is called 'tflite'; there are onnxruntime"),
    ((*QUANTIZE, *GOOD, "--test", "shape.npz"), "needs [samples, 1, 8, 8]"),
    ((*QUANTIZE, *GOOD, "--test", "negative.npz"), "label -3"),
    ((*EVALUATE, "--data", TEST, "--engine", "tflite"), "No engine is called 'tflite'"),
    ((*EVALUATE, "--data", TEST, "--engine", "program"), "no QuantizeLinear"),
    ((*EVALUATE, "--data", "plain.npy"), "no labels"),
    ((*EVALUATE, "--data", "short.npz"), "'y' 3"),
    ((*EVALUATE, "--data", "real.npz"), "class numbers"),
    ((*EVALUATE, "--data", "negative.npz"), "label -3"),
    ((*EVALUATE, "--data", TEST, "--against", "no.onnx"), "There is no file 'no.onnx'"),
    ((*EVALUATE, "--data", TEST, "--metric", "mine"), "MODULE:FUNCTION"),
    ((*EVALUATE, "--data", TEST, "--metric", ":f"), "MODULE:FUNCTION"),
    ((*EVALUATE, "--data", TEST, "--metric", "..:f"), "MODULE:FUNCTION"),
    ((*EVALUATE, "--data", TEST, "--metric", "no_such_module:f"), "No module named 'no_such_module'"),
    ((*EVALUATE, "--data", TEST, "--metric", "wrong_metrics:absent"), "no function 'absent'"),
    ((*EVALUATE, "--data", TEST, "--metric", "wrong_metrics:raises"), "KeyError: 'scores' (wrong_metrics.py, line 2)"),
    ((*EVALUATE, "--data", TEST, "--metric", "wrong_metrics:words"), "ValueError: could not convert"),
    ((*EVALUATE, "--data", TEST, "--metric", "broken_metrics:f"), "SyntaxError"),
    (("verify", NET, "--data", TEST), "Give a file with quantized activations"),
    (("plan", "show", "no.plan.json"), "There is no file 'no.plan.json'"),
    (("plan", "show", NET), "is not a plan"),
    (("plan", "show", "."), "is not a plan"),
    (("plan", "show", "list.json"), "is not a plan"),
    (("plan", "diff", "list.json"), "Missing argument"),
    (("demo", "--folder", "no"), "there is no folder 'no'"),
    (("demo", "--folder", "text.csv"), "there is no folder 'text.csv'"),
]


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are not what they should be."""
    folder = tmp_path_factory.mktemp("bad")
    texts = {
        "text.npz": "hello", "text.csv": "1,2", "text.toml": "[[[", "key.toml": "[[rule]]\n", "list.json": "[]",
        "broken_metrics.py": "def (\n",
        "wrong_metrics.py": "def raises(outputs, labels):\n    return outputs['scores']\ndef words(outputs, labels):\n    return 'good'\n",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
    pixels = np.zeros((4, 1, 8, 8), np.float32)
    arrays: dict[str, dict[str, Any]] = {
        "names.npz": {"a": pixels, "b": pixels}, "shape.npz": {"pixels": pixels[..., :7]},
        "words.npz": {"pixels": np.full((4, 1, 8, 8), "one")},
        "nan.npz": {"pixels": pixels * np.nan}, "none.npz": {"pixels": pixels[:0]}, "short.npz": {"pixels": pixels, "y": np.arange(3)},
        "real.npz": {"pixels": pixels, "y": np.ones(4)}, "negative.npz": {"pixels": pixels, "y": np.array([0, 1, -3, 2])},
        "objects.npz": {"pixels": np.array([None, {}], object)},
    }  # fmt: skip
    for name, content in arrays.items():
        np.savez(folder / name, **content)
    np.save(folder / "plain.npy", pixels)
    np.save(folder / "rank.npy", pixels.reshape(4, 64))
    (folder / "empty").mkdir()
    shutil.copy(NET, folder / "own.onnx")
    (folder / "cut.onnx").write_bytes(Path(NET).read_bytes()[:70_000])
    return folder


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=lambda value: None if isinstance(value, str) else " ".join(value)[:60])
def test_a_mistake_is_told_and_leaves_nothing(arguments: tuple[str, ...], words: str, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bad)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = {path: path.stat().st_mtime_ns for path in bad.rglob("*")}
    result = run(*arguments, *(["--json"] if arguments[0] != "nonsense" else []), columns=400)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert {path: path.stat().st_mtime_ns for path in bad.rglob("*")} == before


def test_a_folder_that_cannot_be_written(here: Path) -> None:
    (here / "locked").mkdir(mode=0o555)
    if os.access(here / "locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    result = run("quantize", NET, *GOOD, "-o", "locked/out.onnx")
    assert result.exit_code == 2
    assert "nothing may be written" in result.stderr


def test_statistics_of_another_network(here: Path, made: Path) -> None:
    network = onnx.load(NET)
    weight = next(tensor for tensor in network.graph.initializer if tensor.name == "stem.weight")
    weight.CopyFrom(onnx.numpy_helper.from_array(2 * onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save(network, here / "other.onnx")
    result = run("quantize", "other.onnx", "--stats", made / "net.stats", "-o", "out.onnx")
    assert result.exit_code == 2
    assert "another network" in result.stderr


def test_labels_beyond_every_class_need_no_matrix_of_their_size(here: Path) -> None:
    np.savez("x.npz", pixels=np.zeros((2, 1, 8, 8)), y=np.array([1, 2**40]))
    found = as_json("evaluate", NET, "--data", "x.npz")
    assert found["confusion"] is None


def test_names_cannot_move_the_cursor(here: Path) -> None:
    result = run("inspect", "a\x1b[2Jb.onnx")
    assert "\x1b" not in result.stderr
    assert "a\\x1b[2Jb.onnx" in result.stderr


def test_a_name_is_never_markup(here: Path) -> None:
    assert "[bold]x[/bold].onnx" in run("inspect", "[bold]x[/bold].onnx").stderr


def test_running_out_of_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsmith

    def greedy(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(bitsmith, "load", greedy, raising=False)
    result = run("inspect", NET)
    assert result.exit_code == 2
    assert "not enough memory" in result.stderr


# What only a process of its own can show


def process(*args: Any, **options: Any) -> "subprocess.Popen[bytes]":
    """`python -m bitsmith`, its standard streams being pipes where nothing else is said."""
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")}
    return subprocess.Popen(
        [sys.executable, "-m", "bitsmith", *map(str, args)],
        env=environment | {"PYTHONPATH": str(ROOT / "src"), **options.pop("env", {})},
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": options.pop("cwd", None), **options},
    )


def test_a_mistake_in_a_process() -> None:
    started = process("inspect", "no.onnx")
    out, err = started.communicate()
    assert (started.returncode, out, err) == (2, b"", b"bitsmith: There is no file 'no.onnx'.\n")


def test_tables_are_not_folded_for_programs_that_read_them(made: Path) -> None:
    started = process("plan", "show", made / "net.int8.plan.json")
    out, _ = started.communicate()
    assert started.returncode == 0
    assert sum(b"/residual/second_norm/BatchNormalization_output_0" in line for line in out.splitlines()) == 1


def test_a_reader_may_leave_early(made: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    started = process("inspect", NET, "--json", stdout=write)
    os.close(write)
    _, err = started.communicate()
    assert (started.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [("inspect", NET), ("inspect", NET, "--json")])
def test_a_full_disk_is_told(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        started = process(*arguments, stdout=full)
        _, err = started.communicate()
    assert started.returncode == 2
    assert err.startswith(b"bitsmith: Standard output takes no more")
    assert err.count(b"\n") == 1


def test_a_terminal_without_the_letters_gets_others() -> None:
    started = process("evaluate", NET, "--data", TEST, env={"PYTHONIOENCODING": "ascii"})
    out, err = started.communicate()
    assert (started.returncode, err) == (0, b"")
    out.decode("ascii")


def test_ctrl_c_is_one_line_and_leaves_nothing(here: Path) -> None:
    """Data that come through a pipe that nobody fills: the command waits for them for ever."""
    os.mkfifo("data.npy")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)   # what shells start in the background ignores them
    started = process("calibrate", NET, "--data", "data.npy", "-o", "out.stats", cwd=here)
    signal.signal(signal.SIGINT, before)
    writer = os.open("data.npy", os.O_WRONLY)  # returns as soon as the command reads
    time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)
    os.close(writer)
    assert started.returncode == 130
    assert err == b"bitsmith: interrupted\n"
    assert os.listdir() == ["data.npy"]


def on_terminal(*args: Any, cwd: Path) -> str:
    """All that a command shows on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    started = process(*args, stdout=theirs, stderr=theirs, cwd=cwd, env={"COLUMNS": "80", "TERM": "xterm"})
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux says so at the end
        pass
    os.close(ours)
    assert started.wait() == 0, shown
    return shown.decode()


def test_on_a_terminal_there_are_colours(here: Path) -> None:
    shown = on_terminal("evaluate", NET, "--data", TEST, cwd=here)
    assert "\x1b[1;32m50" in shown
