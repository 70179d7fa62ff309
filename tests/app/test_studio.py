"""The state behind the page: calibrate, choose, validate, export, and take all of it up again."""

import json
import shutil
import zipfile
from pathlib import Path

import networks
import numpy as np
import pytest
from studios import NET, STEM, TEST, finish, gated, make_studio, samples

import bitsmith as bs
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.app.attempts import attempt_from
from bitsmith.app.choices import Choices
from bitsmith.app.folder import Folder, digest_of
from bitsmith.app.rows import groups_of, row_of
from bitsmith.app.studio import Given, MissingError, Studio
from bitsmith.app.work import BusyError, Notice
from bitsmith.errors import BitsmithError, RecipeError, StatisticsError, TargetError
from bitsmith.workflow import load


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one attempt was made, its first layer with weights of four bits."""
    studio = make_studio(tmp_path_factory.mktemp("done") / "work")
    studio.calibrate()
    finish(studio)
    studio.choose_format(STEM, "weights", "4")
    studio.validate()
    finish(studio)
    studio.close(10)
    return studio.folder.path


@pytest.fixture
def again(done: Path, tmp_path: Path) -> Studio:
    """The same folder, copied and taken up again."""
    return make_studio(Path(shutil.copytree(done, tmp_path / "work")))


def test_before_calibration_weights_can_be_looked_at(tmp_path: Path) -> None:
    studio = make_studio(tmp_path / "work")
    assert {t.role for t in studio.preview.tensors} == {"weight", "bias"}
    before = row_of(studio, "stem.weight")
    studio.choose_format(STEM, "weights", "4")
    after = row_of(studio, "stem.weight")
    assert before is not None
    assert after is not None
    assert (before.tensor.format, after.tensor.format) == ("int8", "int4")
    assert after.tensor.underflow > before.tensor.underflow
    with pytest.raises(StatisticsError, match="Calibrate first"):
        studio.validate()


def test_calibration_brings_all_tensors(again: Studio) -> None:
    assert again.statistics is not None
    names = {t.name for t in again.preview.tensors if t.role == "activation"}
    assert names == set(again.statistics)
    rows = [row.tensor.name for group in groups_of(again, again.preview) for row in group.rows]
    assert sorted(rows) == sorted(t.name for t in again.preview.tensors)


def test_what_was_finished_is_taken_up(again: Studio) -> None:
    assert again.work.notice is None
    assert again.choices == Choices(weights={STEM: "4"})
    assert [a.number for a in again.attempts] == [1]
    assert again.before is not None
    assert again.before.top1 == again.attempts[0].before.top1


def test_an_attempt_is_what_its_file_computes(again: Studio) -> None:
    attempt = again.attempts[0]
    found = bs.evaluate(again.file_of(1, "network"), TEST, against=again.given.network)
    for name in ("top1", "top5", "agreement", "mse", "snr_db", "samples"):
        assert getattr(found, name) == getattr(attempt.after, name), name
    np.testing.assert_array_equal(found.confusion, attempt.after.confusion)
    assert attempt.sizes == (NET.stat().st_size, again.file_of(1, "network").stat().st_size)
    assert bs.load_plan(again.file_of(1, "plan")).encodings["stem.weight"].format.name == "int4"
    assert "top-1 accuracy" in again.file_of(1, "report").read_text()


def test_an_attempt_survives_being_written(again: Studio) -> None:
    attempt = again.attempts[0]
    assert attempt_from(json.loads(json.dumps(attempt.to_dict()))).to_dict() == attempt.to_dict()


def test_export_copies_all_files(again: Studio) -> None:
    copies = again.export(1)
    assert [c.name for c in copies] == ["digits.int8-1.onnx", "digits.int8-1.plan.json", "digits.int8-1.html"]
    assert all(copy.read_bytes() == (again.folder.attempt(1) / copy.name).read_bytes() for copy in copies)


def test_an_attempt_can_be_chosen_again(again: Studio) -> None:
    again.choose(Choices(recipe="int16"))
    again.choose_again(1)
    assert again.choices == Choices(weights={STEM: "4"})
    again.validate()
    assert finish(again).startswith("Attempt 2 is there")
    assert again.attempts[1].after.top1 == again.attempts[0].after.top1


def test_formats_that_are_no_integers_are_seen_and_made(again: Studio) -> None:
    again.choose(Choices(everything=True))
    eight = row_of(again, "stem.weight")
    again.choose_format(STEM, "weights", "pow2_3")
    three = row_of(again, "stem.weight")
    assert eight is not None
    assert three is not None
    assert (eight.tensor.format, three.tensor.format) == ("int8", "pow2_3")
    assert (three.tensor.snr_db or 0) < (eight.tensor.snr_db or 0) - 10
    again.validate()
    assert finish(again).startswith("Attempt 2 is there")
    plan = bs.load_plan(again.file_of(2, "plan"))
    assert plan.encodings["stem.weight"].format.name == "pow2_3"


def test_c_is_one_file_that_computes_what_was_shown(again: Studio, tmp_path: Path) -> None:
    again.choose(Choices(target="c", weights={STEM: "4"}))
    assert again.preview.obstacle == ""
    again.validate()
    assert finish(again).startswith("Attempt 2 is there")
    made = make_studio(Path(shutil.copytree(again.folder.path, tmp_path / "later"))).attempts[1]
    assert (made.form, made.after.engine) == ("C", "program-fixed-point")
    assert "file" not in [figure.name for figure in made.figures()]
    packed = again.file_of(2, "network")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / packed.stem
    assert bs.load_plan(folder / "net.plan.json").encodings == bs.load_plan(again.file_of(2, "plan")).encodings
    if not (shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("needs a C compiler")
    assert bs.verify(folder, TEST).exact


def test_what_cannot_be_c_is_said_before_anything_runs(tmp_path: Path) -> None:
    b, path = networks.Builder(21, 0), tmp_path / "net.onnx"
    running = b.node("CumSum", [b.linear("input", "first", 4, 4), b.constant("axis", 1, np.int64)], "running")
    b.node("Identity", [b.linear(running, "last", 4, 3)], "output")
    path.write_bytes(b.model({"input": ("batch", 4)}, {"output": ("batch", 3)}).SerializeToString())
    np.savez(tmp_path / "data.npz", input=np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    network = load(path)
    studio = Studio(Given(path, network, samples(tmp_path / "data.npz", network)), Folder(tmp_path / "work", fingerprint(network)))
    studio.calibrate()
    finish(studio)
    studio.choose(Choices(target="c"))
    assert "no integer arithmetic for CumSum" in studio.preview.obstacle
    with pytest.raises(TargetError, match="CumSum"):
        studio.validate()
    assert studio.work.job is None
    studio.choose(Choices())
    assert studio.preview.obstacle == ""


def test_an_attempt_can_be_removed_and_its_number_is_not_given_again(again: Studio) -> None:
    kept = again.export(1)
    again.remove(1)
    assert again.attempts == []
    assert list((again.folder.path / "attempts").iterdir()) == []
    assert all(path.is_file() for path in kept)
    with pytest.raises(MissingError):
        again.remove(1)
    again.validate()
    assert finish(again).startswith("Attempt 2 is there")


def test_every_recipe_can_be_chosen_and_made(again: Studio) -> None:
    for recipe in bs.recipes.__all__:
        again.choose(Choices(recipe=recipe, everything=True))
    again.validate()
    assert finish(again).startswith("Attempt 2")


def test_what_cannot_be_changes_nothing(again: Studio) -> None:
    before, files = again.choices, again.folder.choices.read_bytes()
    again.choose_format(STEM, "activations", "16")
    with pytest.raises(BitsmithError, match="tensorrt"):
        again.choose(Choices(target="tensorrt", activations={STEM: "16"}))
    again.choose_format(STEM, "activations", "")
    assert (again.choices, again.folder.choices.read_bytes()) == (before, files)
    with pytest.raises(RecipeError, match="no layer 'nothing'"):
        again.choose_format("nothing", "weights", "4")
    with pytest.raises(MissingError, match="no attempt 7"):
        again.export(7)
    with pytest.raises(MissingError):
        again.file_of(1, "attempt.json")


def test_one_job_at_a_time_and_cancelling_leaves_nothing(again: Studio, tmp_path: Path) -> None:
    test, gate = gated(samples(TEST, again.given.network))
    again.close(0)
    (again.folder.path / f"float-{test.digest}.json").unlink()
    studio = make_studio(again.folder.path, test)
    studio.validate()
    assert gate.reached.wait(60)
    with pytest.raises(BusyError, match="still runs"):
        studio.calibrate()
    studio.work.cancel()
    gate.opened.set()
    assert "cancelled" in finish(studio)
    assert [a.number for a in studio.attempts] == [1]
    assert not [e.name for e in studio.folder.path.iterdir() if e.name.startswith(".")]
    studio.validate()
    assert finish(studio).startswith("Attempt 2")


def test_a_job_that_fails_says_why_and_leaves_nothing_stuck(again: Studio) -> None:
    def fail(job: object) -> Notice:
        raise MemoryError

    again.work.start("Thinking", fail)
    assert "not enough memory" in finish(again)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_our_own_is_not_swallowed_and_leaves_nothing_stuck(again: Studio) -> None:
    def fail(job: object) -> Notice:
        raise ZeroDivisionError

    again.work.start("Thinking", fail)
    assert "stopped by an error of bitsmith" in finish(again)


def test_without_test_data_the_calibration_data_are_measured(tmp_path: Path) -> None:
    network = load(NET)
    given = Given(NET, network, samples(TEST, network))
    studio = Studio(given, Folder(tmp_path / "work", fingerprint(network)))
    studio.choose(Choices(recipe="weights_int8"))
    studio.validate()
    finish(studio)
    assert studio.attempts[0].test == studio.attempts[0].data == given.samples.digest
    assert studio.attempts[0].after.samples == 500


def test_a_folder_of_another_network_is_refused(done: Path) -> None:
    with pytest.raises(BitsmithError, match="another network"):
        Folder(done, "0123456789abcdef")


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(BitsmithError, match="holds other things"):
        Folder(tmp_path, "0")
    with pytest.raises(BitsmithError, match="Cannot work"):
        Folder(tmp_path / "a" / "b", "0")
    with pytest.raises(BitsmithError, match="Cannot work"):
        Folder(tmp_path / "thesis.txt", "0")


def test_two_programs_do_not_share_a_folder(tmp_path: Path) -> None:
    first = Folder(tmp_path / "work", "0")
    with pytest.raises(BitsmithError, match="Another `bitsmith app`"):
        Folder(tmp_path / "work", "0")
    first.close()
    Folder(tmp_path / "work", "0").close()


def test_half_done_work_is_swept_away(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "work"))
    (folder / ".new-abc").mkdir()
    (folder / ".new-abc" / "digits.onnx").write_bytes(b"half")
    (folder / ".choices.json.xyz").write_bytes(b"{")
    studio = make_studio(folder)
    assert not [e.name for e in folder.iterdir() if e.name.startswith(".")]
    assert len(studio.attempts) == 1


DAMAGED = ["choices.json", "attempts/1/attempt.json", "calibration", "float"]


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_damaged_files_are_named_and_left_out(done: Path, tmp_path: Path, name: str, content: bytes) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "work"))
    (path,) = [p for p in folder.rglob("*") if str(p.relative_to(folder)).startswith(name)]
    path.write_bytes(content)
    studio = make_studio(folder)
    assert studio.work.notice is not None
    assert name.split("/")[-1] in studio.work.notice.text or "Attempt" in studio.work.notice.text
    studio.close(1)


@pytest.mark.parametrize("name", ["../../choices.json", "/etc/passwd", "..", "", "a\\b", 5])
def test_an_attempt_names_no_files_elsewhere(done: Path, tmp_path: Path, name: object) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "work"))
    path = folder / "attempts" / "1" / "attempt.json"
    data = json.loads(path.read_bytes())
    data["files"]["network"] = name
    path.write_text(json.dumps(data))
    studio = make_studio(folder)
    assert studio.attempts == []


def test_other_data_have_other_statistics(done: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "work"))
    fewer = tmp_path / "fewer.npz"
    with np.load(TEST) as arrays:
        np.savez(fewer, pixels=arrays["pixels"][:100], y=arrays["y"][:100])
    studio = make_studio(folder, samples(fewer, load(NET)))
    assert studio.before is None
    assert studio.attempts[0].test != studio.given.measured.digest


def test_digests_tell_files_and_folders_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    assert digest_of(tmp_path / "a") == digest_of(tmp_path / "b") != digest_of(tmp_path / "a", "size=8")
    before = digest_of(tmp_path)
    (tmp_path / "c").write_bytes(b"")
    assert digest_of(tmp_path) != before
    with pytest.raises(BitsmithError, match="cannot be read"):
        digest_of(tmp_path / "nothing")
