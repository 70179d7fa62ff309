"""What the pages answer, over real HTTP: to their user everything, to everybody else one plain sentence."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import networks
import pytest
from studios import STEM, TEST, Client, finish, make_studio, served, wait_for

import bitsmith as bs
from bitsmith.app.guard import LARGEST_BODY, POLICY
from bitsmith.app.server import open_socket
from bitsmith.app.studio import Studio
from bitsmith.errors import BitsmithError

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
ADDRESSES = ["/", "/changes", "/tensor?name=stem.weight", "/attempt/1", "/attempt/1/network", "/app.css", "/app.js", "/icon.svg"]
ACTIONS = ["/calibrate", "/validate", "/cancel", "/format", "/recipe", "/forget", "/again/1", "/export/1", "/remove/1"]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Calibrated, with one attempt."""
    studio = make_studio(tmp_path_factory.mktemp("served") / "work")
    studio.calibrate()
    finish(studio)
    studio.validate()
    finish(studio)
    return studio


@pytest.fixture(scope="module")
def client(studio: Studio) -> Iterator[Client]:
    with served(studio) as client:
        client.enter()
        yield client


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(client: Client) -> None:
    answer = Client(client.port, client.token).enter()
    assert answer.status == 200
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert client.token not in client.get("/").text


@pytest.mark.parametrize("path", ADDRESSES)
def test_pages_are_for_those_with_the_token(client: Client, path: str) -> None:
    assert client.get(path).status == 200
    for cookie in ("", "bitsmith=x", f"bitsmith_{client.port}=", f"bitsmith_{client.port}={client.token}x", "\x7f;;=", 'a="'):
        answer = Client(client.port, client.token, cookie).get(path)
        assert answer.status == 403
        assert "Open the address" in answer.text


@pytest.mark.parametrize("path", ACTIONS)
def test_actions_are_for_those_with_the_token_and_posted(client: Client, studio: Studio, path: str) -> None:
    before = studio.revision
    assert Client(client.port, client.token).post(path).status == 403
    assert client.get(path).status == 405
    assert studio.revision == before


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:80"}, {"Host": "127.0.0.1"}, {"Host": ""}, {"Origin": "http://evil.example"},
    {"Origin": "null"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
])
def test_other_hosts_and_origins_are_refused(client: Client, headers: dict[str, str]) -> None:
    for method, path in (("GET", "/"), ("POST", "/cancel")):
        assert client.ask(method, path, headers=headers).status in (403, 421)


def test_our_own_origin_is_welcome(client: Client) -> None:
    for host in ("127.0.0.1", "localhost"):
        own = {"Host": f"{host}:{client.port}", "Origin": f"http://{host}:{client.port}", "Sec-Fetch-Site": "same-origin"}
        assert client.ask("POST", "/cancel", headers=own).status == 204


def test_every_answer_has_its_headers(client: Client) -> None:
    for answer in (client.get("/"), client.get("/app.js"), client.get("/nothing"), client.post("/format")):
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


def test_a_report_may_run_its_own_script_but_not_in_our_name(client: Client) -> None:
    answer = client.get("/attempt/1/report?look")
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert "attachment" in client.get("/attempt/1/report").headers["content-disposition"]


def test_downloads_are_the_files(client: Client, studio: Studio) -> None:
    assert client.get("/attempt/1/plan").text == studio.file_of(1, "plan").read_text()
    assert client.get("/attempt/1/network").headers["content-length"] == str(studio.file_of(1, "network").stat().st_size)


@pytest.mark.parametrize("path", [
    "/nothing", "/attempt/2", "/attempt/2/network", "/attempt/1/attempt.json", "/attempt/1/../choices.json", "/attempt/1/..%2fchoices.json",
    "/attempt/%2e%2e/network", "/attempt/1%00/network", "/attempt/99999999999999999999", "/attempt/١", "/attempt/-1", "/changes?seen=x",
    "/changes?seen=1e9", "/tensor", "/tensor?name=", "/tensor?name=%ff%00", "/app.css/", "/templates/app.html", "//etc/passwd", "/%",
])
def test_what_is_not_there_is_said_in_a_sentence(client: Client, path: str) -> None:
    answer = client.ask("GET", path.encode("ascii", "ignore").decode())
    assert 400 <= answer.status < 500
    assert "Traceback" not in answer.text
    assert len(answer.text) < 300


@pytest.mark.parametrize(("path", "body", "kind"), [
    ("/format", b"", "application/x-www-form-urlencoded"),
    ("/format", b"role=weights", "application/x-www-form-urlencoded"),
    ("/format", b"key=a&role=weights&format=4", "application/x-www-form-urlencoded"),
    ("/format", b"key=a&key=b&role=weights&format=4", "application/x-www-form-urlencoded"),
    ("/format", b"key=a&role=bias&format=4", "application/x-www-form-urlencoded"),
    ("/format", b"\xff\xfe%", "application/x-www-form-urlencoded"),
    ("/format", b"nothing", "application/x-www-form-urlencoded"),
    ("/format", b"a=1&" * 1000, "application/x-www-form-urlencoded"),
    ("/format", b'{"key": "a"}', "application/json"),
    ("/format", b"--x\r\n", "multipart/form-data; boundary=x"),
    ("/recipe", b"recipe=finest&target=onnxruntime&ends=", "application/x-www-form-urlencoded"),
    ("/recipe", b"recipe=/etc/passwd.toml&target=onnxruntime&ends=", "application/x-www-form-urlencoded"),
    ("/recipe", b"recipe=int8&target=moon&ends=", "application/x-www-form-urlencoded"),
    ("/recipe", b"recipe=int8&target=onnxruntime&ends=-1", "application/x-www-form-urlencoded"),
    ("/recipe", b"recipe=int8&target=onnxruntime&ends=&refine=magic", "application/x-www-form-urlencoded"),
    ("/again/5", b"", "application/x-www-form-urlencoded"),
    ("/export/x", b"", "application/x-www-form-urlencoded"),
    ("/remove/5", b"", "application/x-www-form-urlencoded"),
    ("/validate", b"x" * (LARGEST_BODY + 1), "application/x-www-form-urlencoded"),
])
def test_forms_that_make_no_sense_change_nothing(client: Client, studio: Studio, path: str, body: bytes, kind: str) -> None:
    before = studio.revision
    answer = client.ask("POST", path, body, {"Content-Type": kind})
    assert 400 <= answer.status < 500
    assert "Traceback" not in answer.text
    assert answer.text.strip()
    assert studio.revision == before


@pytest.mark.parametrize("sent", [
    b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01\x02",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
    b"POST /format HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: nine\r\n\r\n",
    b"POST /format HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: -9\r\n\r\n",
    b"POST /format HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST /format HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /format HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" + b"a" * 0x20000,
    b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.example\r\nCookie: {cookie}\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==\r\n"
    b"Sec-WebSocket-Version: 13\r\nOrigin: http://evil.example\r\n\r\n",
])
def test_malformed_requests_get_a_refusal_and_hurt_nobody(client: Client, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", client.port), 30) as connection:
        host, cookie = f"127.0.0.1:{client.port}".encode(), client.cookie.encode()
        try:
            connection.sendall(sent.replace(b"{host}", host).replace(b"{cookie}", cookie))
            connection.shutdown(socket.SHUT_WR)
            found = connection.recv(1 << 16)
        except (BrokenPipeError, ConnectionResetError):
            found = b""
    assert re.match(rb"HTTP/1.1 4\d\d |$", found)
    assert b"Traceback" not in found
    assert client.get("/").status == 200


def test_changes_tell_just_what_is_new(client: Client, studio: Studio) -> None:
    first = json.loads(client.get("/changes").text)
    studio.choose_format(STEM, "weights", "4")
    second = json.loads(client.get(f"/changes?seen={first['seen']}").text)
    assert "int4" in second["parts"]["g1"]
    assert "g5" not in second["parts"]
    studio.choose_format(STEM, "weights", "")
    third = json.loads(client.get(f"/changes?seen={second['seen']}").text)
    assert third["parts"]["g1"] == first["parts"]["g1"]
    assert json.loads(client.get("/changes?seen=1000000").text)["parts"].keys() == first["parts"].keys()


def test_changes_wait_for_something_new(client: Client, studio: Studio) -> None:
    seen = json.loads(client.get("/changes").text)["seen"]
    client.post("/format", key=STEM, role="weights", format="8")
    assert json.loads(client.get(f"/changes?seen={seen}").text)["seen"] > seen
    client.post("/forget")
    assert studio.choices.changed == 0


def test_the_whole_way_without_a_browser(client: Client, studio: Studio) -> None:
    form = {"recipe": "int8", "target": "onnxruntime", "ends": "", "everything": "on"}
    assert client.post("/recipe", **form).status == 204
    assert client.post("/format", key=STEM, role="weights", format="4").status == 204
    assert client.post("/validate").status == 204
    wait_for(lambda: len(studio.attempts) == 2 and studio.work.job is None)
    assert client.post("/export/2").status == 204
    found = bs.evaluate(studio.folder.exported / "digits.int8-2.onnx", TEST)
    assert f'data-v="{found.top1:.9g}"' in json.loads(client.get("/changes").text)["parts"]["attempts"]
    assert f"{100 * found.top1:.2f} %" in client.get("/attempt/2").text


def test_names_from_the_network_stay_text(tmp_path: Path) -> None:
    b = networks.Builder(21, seed=0)
    model = b.model({"input": ("batch", 1, 8, 8)}, {b.conv("input", HOSTILE, (2, 1, 3, 3)): ("batch", 2, 6, 6)})
    path = tmp_path / "<b>net.onnx"
    path.write_bytes(model.SerializeToString())
    studio = make_studio(tmp_path / "work", path=path)
    with served(studio) as client:
        client.enter()
        page = client.get("/").text
        assert "<script>alert" not in page
        assert "<b>net" not in page
        assert "{{ 7 * 7 }}" in page
        assert page.count("<script") == 2
        assert not re.search(r"<[^>]* (on\w+|style)=", page)


def test_a_page_without_calibration_is_whole(tmp_path: Path) -> None:
    with served(make_studio(tmp_path / "work")) as client:
        client.enter()
        page = client.get("/").text
        assert "Nothing was validated yet" in page
        assert client.post("/validate").status == 422
        assert "Calibrate first" in client.post("/validate").text


def test_a_taken_port_is_named() -> None:
    with open_socket(0) as first, pytest.raises(BitsmithError, match=r"another program uses it.*--port"):
        open_socket(first.getsockname()[1])


def test_it_listens_on_this_machine_alone() -> None:
    with open_socket(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


