"""The rules of the house, measured: imports point down, functions and files are short, words are the agreed ones."""

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "bitsmith"

LONGEST_FUNCTION, USUAL_FUNCTION, MEDIAN_FUNCTION, USUAL_SHARE = 60, 30, 8, 0.9
LONGEST_FILE, MOST_PARAMETERS, DEEPEST_INHERITANCE = 400, 6, 2
FORBIDDEN_WORDS = {"qparam", "qconfig", "observer", "helper", "util", "impl", "proxy", "proxie", "manager"}
FACES = ("cli", "app", "display", "terminal")       # what a person sees: only faces and the public list import them
FORMATS_ALIASES = {"Array"}                         # all that rooms without quantization may know of numerics.formats
ROOMS_WITHOUT_QUANTIZATION = ("loading", "rewrites", "running")
TORCH = {"torch", "onnxscript"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Complaints = Iterator[str]


@dataclass(frozen=True)
class File:
    """One source file, parsed; `name` is its path below src/bitsmith."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @property
    def functions(self) -> list[Function]:
        return [node for node in self.nodes if isinstance(node, Function)]

    @property
    def classes(self) -> list[ast.ClassDef]:
        return [node for node in self.nodes if isinstance(node, ast.ClassDef)]


def read_source() -> list[File]:
    return [File(str(path.relative_to(SOURCE)), path.read_text()) for path in sorted(SOURCE.rglob("*.py"))]


def lines_of(function: Function) -> int:
    """From `def` to the last line, docstring included, decorators not."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def parameters_of(function: Function) -> list[str]:
    given = function.args
    named = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs, *([given.vararg] if given.vararg else []))]
    return [name for name in named if name not in ("self", "cls")]


def long_functions(file: File) -> Complaints:
    return (f"'{f.name}' (line {f.lineno}) has {lines_of(f)} lines" for f in file.functions if lines_of(f) > LONGEST_FUNCTION)


def long_files(file: File) -> Complaints:
    count = len(file.text.splitlines())
    if count > LONGEST_FILE:
        yield f"has {count} lines"


def is_command(function: Function) -> bool:
    """A command's parameters are the options that a user types; there the rule is to have the options that users need."""
    return any(isinstance(d, ast.Call) and isinstance(d.func, ast.Attribute) and d.func.attr == "command" for d in function.decorator_list)


def many_parameters(file: File) -> Complaints:
    for function in file.functions:
        if is_command(function):
            continue
        count = len(parameters_of(function))
        if count > MOST_PARAMETERS:
            yield f"'{function.name}' (line {function.lineno}) has {count} parameters"


def keyword_catchers(file: File) -> Complaints:
    return (f"'{f.name}' (line {f.lineno}) takes **{f.args.kwarg.arg}" for f in file.functions if f.args.kwarg)


def swallowed_errors(file: File) -> Complaints:
    for handler in (node for node in file.nodes if isinstance(node, ast.ExceptHandler)):
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for kind in kinds:
            if kind is None or last_name(kind) in ("Exception", "BaseException"):
                yield f"line {handler.lineno} catches {'everything' if kind is None else last_name(kind)}"


def missing_docstrings(file: File) -> Complaints:
    empty = file.name.endswith("__init__.py") and not file.text.strip()
    if not empty and not ast.get_docstring(file.tree):
        yield "does not open with a docstring that says what it knows"


def early_torch(file: File) -> Complaints:
    """torch belongs to an extra: outside training/ it is imported inside functions, or for the type checker alone."""
    if not file.name.startswith("training"):
        for node in imports_when_loaded(file.tree.body):
            if TORCH & {module.partition(".")[0] for module in imported_modules(node)}:
                yield f"line {node.lineno} imports torch when the file is loaded"


def quantization_in_plain_rooms(file: File) -> Complaints:
    if file.name.startswith(ROOMS_WITHOUT_QUANTIZATION):
        for node in file.nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bitsmith.numerics"):
                for name in {alias.name for alias in node.names} - FORMATS_ALIASES:
                    yield f"line {node.lineno} imports {node.module}.{name}"


def faces_behind_the_scenes(file: File) -> Complaints:
    if not file.name.startswith((*FACES, "__init__", "__main__")):
        for node in (n for n in file.nodes if isinstance(n, ast.Import | ast.ImportFrom)):
            for face in FACES:
                if any(f"{module}.".startswith(f"bitsmith.{face}.") for module in imported_modules(node)):
                    yield f"line {node.lineno} imports {face}"


def forbidden_words(file: File) -> Complaints:
    """Of names that the file gives, not of those it reads: onnx has a module `helper`."""
    names = [*Path(file.name).with_suffix("").parts, *(name for node in file.nodes for name in names_given(node))]
    for name in dict.fromkeys(names):
        if words_of(name) & FORBIDDEN_WORDS:
            yield f"is called, or calls something, '{name}'"


PER_FILE: list[Callable[[File], Complaints]] = [
    long_functions, long_files, many_parameters, keyword_catchers, swallowed_errors,
    missing_docstrings, early_torch, quantization_in_plain_rooms, faces_behind_the_scenes, forbidden_words,
]  # fmt: skip


def imports_when_loaded(body: Iterable[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements that run with the module: all but those in functions and under TYPE_CHECKING."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING":
            yield from imports_when_loaded(node.orelse)
        elif not isinstance(node, Function):
            yield from imports_when_loaded(child for child in ast.walk(node) if child is not node and isinstance(child, ast.stmt))


def imported_modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    """`from a import b` may import the module a.b: both are named."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]


def names_given(node: ast.AST) -> list[str]:
    if isinstance(node, Function | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.alias):
        return [node.asname] if node.asname else []
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    return [node.attr] if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) else []


def words_of(name: str) -> set[str]:
    """Lower-case words of a snake_case or CamelCase name, in the singular."""
    return {word.lower().rstrip("s") for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def inheritance(files: list[File]) -> dict[str, int]:
    """Class name -> number of our own classes on the longest way up."""
    parents = {c.name: [last_name(b.value if isinstance(b, ast.Subscript) else b) for b in c.bases] for f in files for c in f.classes}

    def depth(name: str) -> int:
        return max((1 + depth(parent) for parent in parents[name] if parent in parents), default=0)

    return {name: depth(name) for name in parents}


@pytest.fixture(scope="module")
def source() -> list[File]:
    files = read_source()
    assert len(files) > 20, "the source is not where this test looks for it"
    return files


@pytest.mark.parametrize("rule", PER_FILE, ids=lambda rule: rule.__name__)
def test_every_file_keeps(rule: Callable[[File], Complaints], source: list[File]) -> None:
    complaints = [f"{file.name}: {complaint}" for file in source for complaint in rule(file)]
    assert not complaints, "\n" + "\n".join(complaints)


def test_functions_are_short(source: list[File]) -> None:
    lengths = sorted(lines_of(function) for file in source for function in file.functions)
    assert statistics.median(lengths) <= MEDIAN_FUNCTION
    assert sum(length <= USUAL_FUNCTION for length in lengths) >= USUAL_SHARE * len(lengths)


def test_inheritance_is_shallow(source: list[File]) -> None:
    deep = {name: depth for name, depth in inheritance(source).items() if depth > DEEPEST_INHERITANCE}
    assert not deep


Texts = dict[Callable[[File], Complaints], str]

BAD: Texts = {
    long_functions: "def f():\n" + "    pass\n" * 60,
    long_files: "\n" * 401,
    many_parameters: "def f(a, b, /, c, d, *e, f, g): pass",
    keyword_catchers: "class A:\n    def f(self, **options): pass",
    swallowed_errors: "try:\n    pass\nexcept (ValueError, builtins.Exception):\n    pass",
    missing_docstrings: "import os\n'late'",
    early_torch: "try:\n    import torch.nn\nfinally:\n    pass",
    quantization_in_plain_rooms: "from bitsmith.numerics.formats import Array, Integer",
    faces_behind_the_scenes: "from bitsmith import terminal",
    forbidden_words: "class RangeObserver: pass",
}
GOOD: Texts = {
    long_functions: "@wraps(\n)\ndef f():\n" + "    pass\n" * 59,
    long_files: "\n" * 400,
    many_parameters: "class A:\n    def f(self, a, b, /, c, d, *e, f): pass",
    keyword_catchers: "def f(*names): g(**options)",
    swallowed_errors: "try:\n    pass\nexcept (ValueError, OSError):\n    pass",
    missing_docstrings: "'''What it knows.'''",
    early_torch: "if TYPE_CHECKING:\n    import torch\ndef f():\n    import torch",
    quantization_in_plain_rooms: "from bitsmith.numerics.formats import Array",
    faces_behind_the_scenes: "import bitsmith.application",
    forbidden_words: "simple = onnx.helper.make_node('implied')",
}


@pytest.mark.parametrize("rule", PER_FILE, ids=lambda rule: rule.__name__)
def test_rule_sees_what_it_forbids_and_nothing_else(rule: Callable[[File], Complaints]) -> None:
    assert len(list(rule(File("loading/bad.py", BAD[rule])))) == 1
    assert not list(rule(File("loading/good.py", GOOD[rule])))


@pytest.mark.parametrize("text", ["try: pass\nexcept: pass", "try: pass\nexcept BaseException: pass"])
def test_every_way_to_catch_everything_is_seen(text: str) -> None:
    assert list(swallowed_errors(File("a.py", text)))


@pytest.mark.parametrize("name", ["utils/a.py", "helpers.py", "plan_manager.py"])
def test_words_in_file_names_are_seen(name: str) -> None:
    assert list(forbidden_words(File(name, "")))


@pytest.mark.parametrize("text", ["def read_utils(): pass", "self.proxies = 1", "def f(qconfig): pass", "import a as impl", "PROXY = 1"])
def test_words_in_names_are_seen(text: str) -> None:
    assert list(forbidden_words(File("a.py", text)))


def test_inheritance_counts_our_own_classes() -> None:
    files = [File("a.py", "class A(Exception): pass\nclass B(a.A): pass"), File("b.py", "class C(B[int]): pass")]
    assert inheritance(files) == {"A": 0, "B": 1, "C": 2}


def lint_imports(source: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the package in a folder, under the contracts of pyproject.toml, in a process of its own."""
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"]
    options = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    return subprocess.run([*command, *options], cwd=source, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True)


def test_imports_point_down() -> None:
    pytest.importorskip("importlinter", reason="needs the extra 'dev'")
    result = lint_imports(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("numerics/formats.py", "import onnx_ir", "Arithmetic knows no framework"),
        ("integer/__init__.py", "from bitsmith import graph", "Arithmetic knows no framework"),
        ("numerics/formats.py", "from bitsmith.integer import codes", "Imports point down"),
        ("calibration/__init__.py", "from bitsmith.planning import plan", "Imports point down"),
        ("planning/accepts.py", "from bitsmith.targets import onnx", "Imports point down"),
        ("running/__init__.py", "from bitsmith.numerics.encoding import Encoding", "Loading, rewriting and running know nothing"),
        ("targets/onnx/target.py", "from bitsmith.planning.recipe import Recipe", "Targets know no recipes"),
        ("graph.py", "import bitsmith", "The public names are for the user"),
        ("somewhere.py", "", "Imports point down"),
    ],
)
def test_import_contract_sees(tmp_path: Path, file: str, line: str, contract: str) -> None:
    pytest.importorskip("importlinter", reason="needs the extra 'dev'")
    shutil.copytree(SOURCE, tmp_path / "bitsmith", ignore=shutil.ignore_patterns("__pycache__", "data"))
    with (tmp_path / "bitsmith" / file).open("a") as source:
        source.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert re.search(re.escape(contract) + r".*BROKEN", result.stdout), result.stdout + result.stderr
