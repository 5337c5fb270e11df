"""DICOMweb against a small server on the loopback address that can misbehave."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from mammo.pipeline.hospital.service.incoming import InstanceError
from mammo.pipeline.hospital.service.multipart import first_part, whole
from mammo.pipeline.hospital.service.retry import PacsError
from mammo.pipeline.hospital.service.web import Pacs, text

BOUNDARY = "b0undary"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


@pytest.fixture
def server():
    """What it answers is in ``answer``; what it was asked, in ``asked``."""
    state = SimpleNamespace(answer=lambda method, path, body: (200, "application/dicom+json", b"[]"), asked=[])

    class Handler(BaseHTTPRequestHandler):
        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.asked.append((self.command, self.path, dict(self.headers), body))
            status, kind, content = state.answer(self.command, self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = serve  # noqa: N815  the standard library's names

        def log_message(self, *_):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
    state.url = f"http://127.0.0.1:{httpd.server_port}/dicom-web"
    yield state
    httpd.shutdown()
    httpd.server_close()


def json_answer(value, status=200):
    return lambda *_: (status, "application/dicom+json", json.dumps(value).encode())


def study(uid):
    return {"0020000D": {"vr": "UI", "Value": [uid]}}


def test_studies_come_page_by_page_however_few_the_server_gives_at_once(server):
    held = [study(f"1.2.{number}") for number in range(7)]

    def answer(method, path, body):
        offset = int(dict(part.split("=") for part in path.partition("?")[2].split("&"))["offset"])
        return 200, "application/dicom+json", json.dumps(held[offset : offset + 3]).encode()

    server.answer = answer
    assert list(Pacs(server.url).studies({"ModalitiesInStudy": "MG"})) == held
    assert "ModalitiesInStudy=MG" in server.asked[0][1]


def test_a_server_that_knows_no_offset_is_not_asked_for_ever(server):
    server.answer = json_answer([study("1.2.3")])
    assert len(Pacs(server.url).studies({})) == 1
    assert len(server.asked) == 2


def test_a_server_that_gives_the_same_instances_for_ever_is_not_asked_for_ever(server):
    server.answer = json_answer([{"00080018": {"Value": [f"1.2.3.{n}"]}} for n in range(4)])
    assert len(Pacs(server.url).instances("1.2.3")) == 4
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "row",
    [
        "row",
        None,
        7,
        {},
        {"0020000D": None},
        {"0020000D": []},
        {"0020000D": {"Value": {}}},
        {"0020000D": {"Value": [None]}},
    ],
)
def test_a_row_that_is_none_is_an_empty_one(server, row):
    server.answer = json_answer([row, study("1.2.3")])
    assert [text(found, "0020000D") for found in Pacs(server.url).studies({})] == ["", "1.2.3"]


def test_the_password_goes_along_and_into_no_error(server):
    server.answer = lambda *_: (401, "text/plain", b"no")
    with pytest.raises(PacsError) as caught:
        Pacs(server.url, user="mammo", password="hush-hush").studies({})
    assert server.asked[0][2]["Authorization"] == "Basic " + base64.b64encode(b"mammo:hush-hush").decode()
    error = caught.value
    assert (str(error), error.passes) == ("http_401", True)


@pytest.mark.parametrize(
    ("status", "passes"), [(503, True), (502, True), (429, True), (500, False), (404, False), (409, False)]
)
def test_a_busy_server_passes_and_one_that_says_no_does_not(server, status, passes):
    server.answer = lambda *_: (status, "text/plain", b"")
    with pytest.raises(PacsError) as caught:
        Pacs(server.url).studies({})
    assert (caught.value.reason, caught.value.passes) == (f"http_{status}", passes)


def test_a_server_that_is_not_there_passes():
    with pytest.raises(PacsError) as caught:
        Pacs("http://127.0.0.1:9/dicom-web").studies({})
    assert (caught.value.reason, caught.value.passes) == ("pacs_unreachable", True)


def test_what_is_no_json_passes(server):
    server.answer = lambda *_: (200, "text/html", b"<html>log in</html>")
    with pytest.raises(PacsError) as caught:
        Pacs(server.url).studies({})
    assert caught.value.passes


CONTENT = bytes(range(256)) * 1000 + b"\r\n--" + b"\r\n\r\n--b0undar"


@pytest.mark.parametrize("multipart", [True, False])
def test_an_image_arrives_byte_by_byte(server, tmp_path, multipart):
    body = whole(CONTENT, BOUNDARY) if multipart else CONTENT
    server.answer = lambda *_: (200, RELATED if multipart else "application/dicom", body)
    Pacs(server.url).fetch("1.2.3", "1.2.4", "1.2.5", tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == CONTENT
    method, path, headers, _ = server.asked[0]
    assert (method, path) == ("GET", "/dicom-web/studies/1.2.3/series/1.2.4/instances/1.2.5")
    assert "transfer-syntax=*" in headers["Accept"]


def test_an_image_that_is_too_large_is_broken_off(server, tmp_path):
    server.answer = lambda *_: (200, RELATED, whole(bytes(1 << 22), BOUNDARY))
    with pytest.raises(InstanceError) as caught:
        Pacs(server.url, most_bytes=1 << 20).fetch("1.2.3", "1.2.4", "1.2.5", tmp_path / "image")
    assert caught.value.reason == "too_large"
    assert (tmp_path / "image").stat().st_size <= 1 << 20


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (RELATED, whole(b"data", BOUNDARY)[:-20], "cut_off"),
        (RELATED, b"", "cut_off"),
        (RELATED, b"--other\r\n\r\ndata\r\n--other--", "not_multipart"),
        (RELATED, bytes(1 << 16), "not_multipart"),
        ("multipart/related", whole(b"data", BOUNDARY), "not_multipart"),
    ],
)
def test_a_broken_message_is_the_servers_fault(server, tmp_path, kind, body, reason):
    server.answer = lambda *_: (200, kind, body)
    with pytest.raises(PacsError) as caught:
        Pacs(server.url).fetch("1.2.3", "1.2.4", "1.2.5", tmp_path / "image")
    assert caught.value.reason == reason


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_message_may_be_cut_anywhere(size):
    message = b"preamble\r\n" + whole(CONTENT[-2000:], BOUNDARY)
    message = message.removeprefix(b"preamble\r\n")
    chunks = [message[i : i + size] for i in range(0, len(message), size)]
    assert b"".join(first_part(chunks, RELATED)) == CONTENT[-2000:]


@pytest.fixture
def objects(make, tmp_path):
    return [make.write(tmp_path / f"{n}.dcm", instance=f"1.2.3.{n}", sop_class=make.report) for n in (1, 2)]


def test_objects_are_stored_as_they_are(server, objects):
    server.answer = json_answer({"00081199": {"vr": "SQ", "Value": [{}]}})
    Pacs(server.url).send(objects)
    assert len(server.asked) == 2
    for (method, path, headers, body), file in zip(server.asked, objects, strict=True):
        assert (method, path) == ("POST", "/dicom-web/studies")
        assert b"".join(first_part([body], headers["Content-Type"])) == file.read_bytes()


@pytest.mark.parametrize(
    ("status", "told", "reason"),
    [
        (200, {"00081198": {"vr": "SQ", "Value": [{"00081197": {"Value": [272]}}]}}, "not_stored"),
        (202, {"00081198": {"vr": "SQ", "Value": [{}]}}, "not_stored"),
        (202, {}, "not_stored"),
        (409, {}, "http_409"),
        (204, {}, "http_204"),
    ],
)
def test_an_object_that_was_not_stored_is_noticed(server, objects, status, told, reason):
    server.answer = lambda *_: (status, "application/dicom+json", b"" if status == 204 else json.dumps(told).encode())
    with pytest.raises(PacsError) as caught:
        Pacs(server.url).send(objects)
    assert caught.value.reason == reason


@pytest.mark.parametrize("status", [200, 202, 409])
def test_what_the_pacs_has_already_is_no_error_and_the_rest_is_sent(server, objects, status):
    there = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"Value": [273]}}]}}
    answers = [json_answer(there, status), json_answer({"00081199": {"vr": "SQ", "Value": [{}]}})]
    server.answer = lambda *request: answers[len(server.asked) - 1](*request)
    Pacs(server.url).send(objects)
    assert len(server.asked) == 2


def test_an_object_that_is_refused_does_not_keep_the_others(server, objects):
    answers = [json_answer({}, 500), json_answer({"00081199": {"vr": "SQ", "Value": [{}]}})]
    server.answer = lambda *request: answers[len(server.asked) - 1](*request)
    with pytest.raises(PacsError, match="http_500"):
        Pacs(server.url).send(objects)
    assert len(server.asked) == 2


def test_a_pacs_has_what_its_query_finds(server, objects):
    there = [{"00080018": {"Value": [f"1.2.3.{n}"]}} for n in (1, 2, 7)]

    def answer(method, path, body):
        found = there if "offset=0" in path else []
        return 200, "application/dicom+json", json.dumps(found).encode()

    server.answer = answer
    assert Pacs(server.url).confirm(objects, "2.25.1")
    there.pop(0)
    with pytest.raises(PacsError, match="not_found_by_query"):
        Pacs(server.url).confirm(objects, "2.25.1")
