"""The server's front door over raw sockets: framing, limits, deadlines, signatures, TLS and websockets.

Runs `wherry server` of the build under test, or the program in WHERRY_HTTP_SERVER with the same arguments. What needs a plane
of a few lines that says what it is asked to runs BUILD/test/server_standin."""
import base64
import datetime
import hashlib
import hmac
import json
import os
import pathlib
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import urllib.parse
import uuid

import pytest

from wherry import BUILD, eventually

PROGRAM = os.environ.get("WHERRY_HTTP_SERVER", str(BUILD / "wherry"))
STANDIN = str(BUILD / "test" / "server_standin")
KEY_ID, SECRET, REGION = "test", "a secret for tests", "us-east-1"
TARGET = "AmazonEC2ContainerServiceV20141113."
HEALTH = b"GET /_wherry/health HTTP/1.1\r\nHost: x\r\n\r\n"
INVALID_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details.")


class Server:
    def __init__(self, *options, data=None, wrapper=(), program=PROGRAM):
        self.folder = None if data else tempfile.TemporaryDirectory(prefix="wherry-http-")
        self.data = data or os.path.join(self.folder.name, "data")
        self.errors = tempfile.TemporaryFile()
        environment = dict(os.environ, WHERRY_ROOT_ACCESS_KEY_ID=KEY_ID, WHERRY_ROOT_SECRET_ACCESS_KEY=SECRET)
        started = time.monotonic()
        self.process = subprocess.Popen(
            [*wrapper, program, "server", "--listen", "127.0.0.1:0", "--data", self.data, *options],
            stdout=subprocess.PIPE, stderr=self.errors, env=environment)
        line = self.process.stdout.readline().decode()
        self.start_seconds = time.monotonic() - started
        found = re.match(r"wherry: ready on (https?)://127\.0\.0\.1:(\d+)$", line.strip())
        assert found, (line, self.log())
        self.tls, self.port = found.group(1) == "https", int(found.group(2))

    def log(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def connect(self, timeout=15):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        if not self.tls:
            return plain
        context = ssl.create_default_context(cafile=os.path.join(self.data, "tls", "certificate.pem"))
        return context.wrap_socket(plain, server_hostname="localhost")

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self.process.stdout.close()
        if self.folder:
            self.folder.cleanup()
        return code


@pytest.fixture(scope="module")
def standin():
    one = Server(program=STANDIN)
    yield one
    assert one.stop() == 0, one.log()


@pytest.fixture(scope="module")
def server():
    one = Server()
    yield one
    assert one.stop() == 0, one.log()


def read_reply(stream, head_only=False):
    """One reply: status, headers in lower case, body."""
    line = stream.readline()
    if not line:
        return None, {}, b""
    status, headers = int(line.split()[1]), {}
    while (line := stream.readline().strip()):
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    body = b"" if head_only or status in (100, 101) else stream.read(int(headers.get("content-length", -1)))
    return status, headers, body


def exchange(server, data, replies=1):
    with server.connect() as sock:
        sock.sendall(data)
        stream = sock.makefile("rb")
        answers = [read_reply(stream) for _ in range(replies)]
        return answers[0] if replies == 1 else answers


def sign(method, path, query, headers, body, key_id=KEY_ID, secret=SECRET, region=REGION, service="ecs", when=None):
    when = when or datetime.datetime.utcnow()
    stamp, date = when.strftime("%Y%m%dT%H%M%SZ"), when.strftime("%Y%m%d")
    headers = dict(headers, **{"X-Amz-Date": stamp})
    names = sorted(name.lower() for name in headers)
    lowered = {name.lower(): value for name, value in headers.items()}
    pairs = sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                   for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    digest = lowered.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
    canonical = "\n".join([method, path, "&".join(f"{k}={v}" for k, v in pairs),
                           *(f"{name}:{lowered[name]}" for name in names), "", ";".join(names), digest])
    scope = f"{date}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={';'.join(names)}, "
                                f"Signature={signature}")
    return headers


def call_bytes(server, operation, body=b"{}", extra=(), drop=(), change=None, framing=None, **signing):
    headers = {"Host": f"127.0.0.1:{server.port}", "Content-Type": "application/x-amz-json-1.1",
               "X-Amz-Target": TARGET + operation, **dict(extra)}
    headers = sign("POST", "/", "", headers, body, **signing)
    headers.update(change or {})
    for name in drop:
        headers.pop(name)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    framing = framing if framing is not None else f"Content-Length: {len(body)}\r\n"
    return f"POST / HTTP/1.1\r\n{head}{framing}\r\n".encode()


def call(server, operation, body=b"{}", **options):
    return exchange(server, call_bytes(server, operation, body, **options) + body)


def error_of(reply):
    status, headers, body = reply
    document = json.loads(body)
    name = document["__type"].split("#")[-1]
    assert headers["x-amzn-errortype"] == name
    return status, name, document.get("message")


# ---- replies

def test_reply_has_what_aws_replies_have(server):
    status, headers, body = call(server, "ListClusters")
    assert status == 200 and "clusterArns" in json.loads(body)
    assert headers["content-type"] == "application/x-amz-json-1.1"
    request_id = uuid.UUID(headers["x-amzn-requestid"])
    assert request_id.version == 4 and str(request_id) == headers["x-amzn-requestid"]
    date = datetime.datetime.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT")
    assert abs((datetime.datetime.utcnow() - date).total_seconds()) < 2


def test_json_1_0_is_answered_with_json_1_0(server):
    reply = call(server, "ListClusters", extra={"Content-Type": "application/x-amz-json-1.0"})
    assert reply[0] == 200 and reply[1]["content-type"] == "application/x-amz-json-1.0"


def test_request_ids_differ(server):
    ids = {call(server, "ListClusters")[1]["x-amzn-requestid"] for _ in range(5)}
    assert len(ids) == 5


def test_health_and_metrics_need_no_signature(server):
    status, _, body = exchange(server, HEALTH)
    assert status == 200 and json.loads(body)["status"] == "ok"
    call(server, "ListClusters")
    status, headers, body = exchange(server, b"GET /_wherry/metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert re.search(rb'wherry_requests_total\{service="ecs",operation="ListClusters",code="OK"\} [1-9]', body)
    assert b"wherry_resident_bytes" in body and b"wherry_clusters" in body


def test_head_of_health_has_no_body(server):
    with server.connect() as sock:
        sock.sendall(HEALTH.replace(b"GET", b"HEAD") + HEALTH)
        stream = sock.makefile("rb")
        assert read_reply(stream, head_only=True)[0] == 200
        assert json.loads(read_reply(stream)[2])["status"] == "ok"


@pytest.mark.parametrize("line, status", [
    ("GET / HTTP/1.1", 405), ("HEAD / HTTP/1.1", 405), ("PUT / HTTP/1.1", 405), ("DELETE / HTTP/1.1", 405),
    ("OPTIONS * HTTP/1.1", 404), ("POST /elsewhere HTTP/1.1", 404), ("POST /_wherry/health HTTP/1.1", 405),
    ("GET /_wherry/nothing HTTP/1.1", 404), ("CONNECT host:80 HTTP/1.1", 404), ("GET /ws HTTP/1.1", 400),
])
def test_other_methods_and_paths(server, line, status):
    with server.connect() as sock:
        sock.sendall(f"{line}\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        assert read_reply(sock.makefile("rb"), head_only=line.startswith("HEAD"))[0] == status


# ---- framing

@pytest.mark.parametrize("head, status", [
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2, 2\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    ("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nA: b\r\n\tfolded\r\nContent-Length: 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\nHost: x\n\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\nContent-Length: 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\rContent-Length: 0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nA: b\x01c\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\n: x\r\n\r\n", 400),
    ("POST / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    ("POST / HTTP/1.2\r\nHost: x\r\n\r\n", 505),
    ("POST /\r\n\r\n", 505),
    ("NONSENSE / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("POST relative HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", 417),
    ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n", 413),
    ("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n", 413),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n" + "x" * 1048577, 413),
    ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + "e" * 70000, 413),
])
def test_what_is_ambiguous_is_refused_and_ends_the_connection(server, head, status):
    with server.connect() as sock:
        sock.sendall(head.encode("latin-1"))
        stream = sock.makefile("rb")
        got, headers, body = read_reply(stream)
        # http_parser has its own, lower bound on chunk extensions.
        assert got == status or (status == 413 and "e" * 100 in head and got == 400), (got, body)
        assert headers["connection"] == "close" and "x-amzn-requestid" in headers
        assert json.loads(body)["__type"]
        assert stream.read() == b""


def test_head_limit(server):
    filler = "A: " + "x" * 1000 + "\r\n"
    fits = "GET /_wherry/health HTTP/1.1\r\nHost: x\r\n" + filler * 32
    last = 32768 - len(fits) - len("B: \r\n\r\n")
    assert exchange(server, (fits + "B: " + "y" * last + "\r\n\r\n").encode())[0] == 200
    assert exchange(server, (fits + "B: " + "y" * (last + 1) + "\r\n\r\n").encode())[0] == 431


def test_headers_limit(server):
    head = "GET /_wherry/health HTTP/1.1\r\nHost: x\r\n"
    assert exchange(server, (head + "A: b\r\n" * 99 + "\r\n").encode())[0] == 200
    assert exchange(server, (head + "A: b\r\n" * 100 + "\r\n").encode())[0] == 431


def test_body_limit(server):
    body = b'{"x":"' + b"y" * (1048576 - 8) + b'"}'
    assert len(body) == 1048576
    assert call(server, "ListClusters", body)[0] == 200
    status, name, _ = error_of(call(server, "ListClusters", body + b" "))
    assert (status, name) == (413, "RequestEntityTooLargeException")


def test_who_is_refused_behind_another_request_and_still_sends_hears_why(server):
    with server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.sendall(call_bytes(server, "ListClusters") + b"{}" +
                     call_bytes(server, "ListClusters", framing=f"Content-Length: {4 << 20}\r\n"))
        sock.sendall(b" " * (4 << 20))
        stream = sock.makefile("rb")
        assert [read_reply(stream)[0] for _ in range(2)] == [200, 413]


def test_chunked_body(server):
    body = b'{"maxResults":10}'
    head = call_bytes(server, "ListClusters", body, framing="Transfer-Encoding: chunked\r\n")
    chunks = b"".join(b"%x;name=value\r\n%c\r\n" % (1, byte) for byte in body)
    assert exchange(server, head + chunks + b"0\r\nTrailer: ignored\r\n\r\n")[0] == 200


def test_every_split_of_the_bytes_reads_the_same(server):
    data = call_bytes(server, "ListClusters") + b"{}"
    for cut in list(range(1, len(data), 37)) + [len(data) - 1]:
        with server.connect() as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(data[:cut])
            time.sleep(0.002)
            sock.sendall(data[cut:])
            assert read_reply(sock.makefile("rb"))[0] == 200


def test_empty_lines_before_a_request_are_skipped(server):
    assert exchange(server, b"\r\n\r\nGET /_wherry/health HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200


def test_absolute_form(server):
    assert exchange(server, b"GET http://x/_wherry/health HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200


def test_keep_alive_and_close(server):
    with server.connect() as sock:
        stream = sock.makefile("rb")
        for _ in range(3):
            sock.sendall(call_bytes(server, "ListClusters") + b"{}")
            assert read_reply(stream)[0] == 200
        sock.sendall(b"GET /_wherry/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        status, headers, _ = read_reply(stream)
        assert status == 200 and headers["connection"] == "close" and stream.read() == b""


def test_http_1_0_closes_unless_asked_to_stay(server):
    with server.connect() as sock:
        stream = sock.makefile("rb")
        sock.sendall(b"GET /_wherry/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert read_reply(stream)[1]["connection"] == "keep-alive"
        sock.sendall(b"GET /_wherry/health HTTP/1.0\r\n\r\n")
        assert read_reply(stream)[1]["connection"] == "close" and stream.read() == b""


def test_pipelined_requests_are_answered_in_order(server):
    one = call_bytes(server, "ListClusters") + b"{}"
    bad = call_bytes(server, "NoSuchOperation") + b"{}"
    page = HEALTH
    replies = exchange(server, (one + bad + page) * 40, replies=120)
    assert [status for status, _, _ in replies] == [200, 400, 200] * 40
    assert all(b"clusterArns" in replies[i][2] and b"Unknown" in replies[i + 1][2] and b"ok" in replies[i + 2][2]
               for i in range(0, 120, 3))


def test_a_client_that_stops_sending_gets_its_answers(server):
    with server.connect() as sock:
        sock.sendall((call_bytes(server, "ListClusters") + b"{}") * 30)
        sock.shutdown(socket.SHUT_WR)
        stream = sock.makefile("rb")
        assert [read_reply(stream)[0] for _ in range(30)] == [200] * 30
        assert stream.read() == b""


def test_expect_100_continue(server):
    body = b'{"maxResults":10}'
    with server.connect() as sock:
        stream = sock.makefile("rb")
        sock.sendall(call_bytes(server, "ListClusters", body, framing=f"Content-Length: {len(body)}\r\n"
                                "Expect: 100-continue\r\n"))
        assert read_reply(stream)[0] == 100
        sock.sendall(body)
        assert read_reply(stream)[0] == 200
        # Who does not wait gets no needless 100.
        sock.sendall(call_bytes(server, "ListClusters", body, framing=f"Content-Length: {len(body)}\r\n"
                                "Expect: 100-continue\r\n") + body)
        assert read_reply(stream)[0] == 200


def test_expect_behind_a_pipelined_request_waits_its_turn(server):
    body = b"{}"
    with server.connect() as sock:
        stream = sock.makefile("rb")
        sock.sendall(call_bytes(server, "ListClusters") + b"{}" +
                     call_bytes(server, "ListClusters", body, framing="Content-Length: 2\r\n"
                                "Expect: 100-continue\r\n"))
        assert read_reply(stream)[0] == 200
        assert read_reply(stream)[0] == 100
        sock.sendall(body)
        assert read_reply(stream)[0] == 200


# ---- deadlines

def drip(sock, data, pause):
    for i in range(len(data)):
        try:
            sock.sendall(data[i:i + 1])
        except OSError:
            return
        if wait_readable(sock, pause):
            return


def wait_readable(sock, timeout):
    return bool(select.select([sock], [], [], timeout)[0])


def test_a_slow_head_is_cut_after_ten_seconds(server):
    with server.connect(timeout=30) as sock:
        started = time.monotonic()
        drip(sock, b"POST / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100, 0.3)
        status, _, body = read_reply(sock.makefile("rb"))
        assert status == 408 and b"slowly" in body
        assert 9 < time.monotonic() - started < 13


def test_a_silent_connection_is_cut_after_ten_seconds(server):
    with server.connect(timeout=30) as sock:
        started = time.monotonic()
        assert sock.recv(100) == b""
        assert 9 < time.monotonic() - started < 13


def test_a_trickled_body_is_cut(server):
    with server.connect(timeout=30) as sock:
        started = time.monotonic()
        sock.sendall(call_bytes(server, "ListClusters", framing="Content-Length: 100000\r\n"))
        drip(sock, b"y" * 100, 0.3)
        status, _, _ = read_reply(sock.makefile("rb"))
        assert status == 408 and 9 < time.monotonic() - started < 13


def test_a_slow_but_steady_body_lives(server):
    body = b'{"x":"' + b"y" * 9000 + b'"}'
    with server.connect(timeout=30) as sock:
        sock.sendall(call_bytes(server, "ListClusters", body))
        for i in range(0, len(body), 300):
            sock.sendall(body[i:i + 300])
            time.sleep(0.4)
        assert read_reply(sock.makefile("rb"))[0] == 200


# ---- large bodies

SHARE, ROOM, LOGS_BODY = 16384, 128 << 20, 8 << 20


@pytest.mark.parametrize("change, name", [
    (dict(drop=("Authorization",)), "MissingAuthenticationTokenException"),
    (dict(key_id="nobody"), "UnrecognizedClientException"),
])
def test_of_a_stranger_no_more_is_read_than_any_body_may_have(server, change, name):
    with server.connect() as sock:
        sock.sendall(call_bytes(server, "ListClusters", framing=f"Content-Length: {SHARE + 1}\r\n", **change))
        reply = read_reply(sock.makefile("rb"))
        assert error_of(reply)[1] == name and reply[1]["connection"] == "close"
    body = b" " * SHARE
    with server.connect() as sock:
        sock.sendall(call_bytes(server, "ListClusters", body, **change))
        assert not wait_readable(sock, 0.3)
        sock.sendall(body)
        reply = read_reply(sock.makefile("rb"))
        assert error_of(reply)[1] == name and "connection" not in reply[1]
    chunked = call_bytes(server, "ListClusters", framing="Transfer-Encoding: chunked\r\n", **change)
    assert exchange(server, chunked + b"4001\r\n" + b" " * (SHARE + 1))[0] == 413


def figure(server, name):
    page = exchange(server, b"GET /_wherry/metrics HTTP/1.1\r\nHost: x\r\n\r\n")[2].decode()
    return int(re.search(rf"^wherry_{name} (\d+)$", page, re.M).group(1))


def await_figure(server, name, value):
    deadline = time.monotonic() + 20
    while figure(server, name) != value:
        assert time.monotonic() < deadline, (name, figure(server, name))
        time.sleep(0.05)


def announce(server, length):
    """A connection that says that a body for PutLogEvents comes, and waits to be told to go on."""
    sock = server.connect(timeout=40)
    sock.sendall(call_bytes(server, "", extra={"X-Amz-Target": "Logs_20140328.PutLogEvents"}.items(), service="logs",
                            framing=f"Content-Length: {length}\r\nExpect: 100-continue\r\n"))
    return sock


def may_go_on(sock):
    return read_reply(sock.makefile("rb"))[0] == 100


def test_large_bodies_wait_until_there_is_room(server):
    holders = [announce(server, LOGS_BODY) for _ in range(ROOM // LOGS_BODY - 1)]
    holders.append(announce(server, LOGS_BODY - SHARE - 1))
    assert all(may_go_on(sock) for sock in holders)
    last = announce(server, SHARE + 1)
    assert may_go_on(last)
    await_figure(server, "bodies_bytes", ROOM)
    first, second, third = (announce(server, length) for length in (LOGS_BODY, SHARE + 1, SHARE + 1))
    await_figure(server, "bodies_waiting", 3)
    # What is small does not wait, and neither does who waits hold up who does not.
    assert call(server, "ListClusters", b'{"x":"' + b"y" * 8000 + b'"}')[0] == 200
    last.close()
    await_figure(server, "bodies_bytes", ROOM - SHARE - 1)  # nobody overtakes the first
    assert figure(server, "bodies_waiting") == 3
    holders.pop().close()
    assert may_go_on(first)
    await_figure(server, "bodies_waiting", 2)
    holders.pop().close()
    assert may_go_on(second) and may_go_on(third)
    for sock in [*holders, first, second, third]:
        sock.close()
    await_figure(server, "bodies_bytes", 0)


def test_a_large_body_after_other_requests_waits_for_their_answers_and_is_answered(server):
    body = b'{"x":"' + b"y" * 100000 + b'"}'
    with server.connect() as sock:
        sock.sendall((call_bytes(server, "ListClusters") + b"{}") * 5 + call_bytes(server, "ListClusters", body) + body +
                     call_bytes(server, "ListClusters") + b"{}")
        stream = sock.makefile("rb")
        assert [read_reply(stream)[0] for _ in range(7)] == [200] * 7
    await_figure(server, "bodies_bytes", 0)


def test_who_holds_room_slowly_makes_way_and_who_waits_too_long_is_told(server):
    holders = [announce(server, LOGS_BODY) for _ in range(ROOM // LOGS_BODY)]
    assert all(may_go_on(sock) for sock in holders)
    first, second = announce(server, LOGS_BODY), announce(server, LOGS_BODY)
    await_figure(server, "bodies_waiting", 2)
    # One is fast enough where nobody waits; the others always are.
    deadline = time.monotonic() + 40
    while not wait_readable(second, 0) and time.monotonic() < deadline:
        for sock in [*holders[1:], *([first] if wait_readable(first, 0) else [])]:
            sock.sendall(b" " * 150000)
        holders[0].sendall(b" " * 1000) if not wait_readable(holders[0], 0) else None
        time.sleep(0.5)
    assert read_reply(holders[0].makefile("rb"))[0] == 408
    assert may_go_on(first)
    reply = read_reply(second.makefile("rb"))
    assert reply[0] == 503 and reply[1]["retry-after"] == "1" and reply[1]["connection"] == "close"
    assert error_of(reply)[1] == "ServiceUnavailableException"
    for sock in [*holders, first, second]:
        sock.close()
    await_figure(server, "bodies_bytes", 0)


# ---- decoding

@pytest.mark.parametrize("body, name", [
    (b"{", "SerializationException"), (b"[]", "SerializationException"), (b"null x", "SerializationException"),
    (b'{"maxResults":"ten"}', "SerializationException"), (b'{"maxResults":1.5}', "SerializationException"),
    (b'{"nextToken":1}', "SerializationException"), (b'{"nextToken":"\xff\xfe"}', "SerializationException"),
    (b'{"nextToken":"\xc0\x80"}', "SerializationException"), (b'{"nextToken":"\xed\xa0\x80"}', "SerializationException"),
    (b'{"nextToken":"\\ud800"}', "SerializationException"), (b"[" * 1000, "SerializationException"),
    (b'{"a":' * 1000, "SerializationException"), (b'{"nextToken":"a\0b"}', "SerializationException"),
])
def test_malformed_bodies(server, body, name):
    status, got, message = error_of(call(server, "ListClusters", body))
    assert (status, got) == (400, name), message


@pytest.mark.parametrize("operation, body, name, message", [
    ("DescribeTasks", b"{}", "InvalidParameterException", "Tasks cannot be empty."),
    ("DescribeServices", b"{}", "InvalidParameterException", "Services cannot be empty."),
    ("DescribeContainerInstances", b"{}", "InvalidParameterException", "Container Instances cannot be empty."),
    ("RunTask", b"{}", "InvalidParameterException", "TaskDefinition can not be blank."),
    ("RunTask", b'{"taskDefinition":"a","launchType":"X"}', "InvalidParameterException",
     "launch type should be one of [EC2,FARGATE,EXTERNAL,FMI,MANAGED_INSTANCES]"),
    ("RunTask", b'{"taskDefinition":"a","propagateTags":"X"}', "InvalidParameterException",
     "propagateTags should be one of [TASK_DEFINITION,SERVICE,NONE]"),
    ("DescribeClusters", b'{"include":["X"]}', "InvalidParameterException",
     "include should be one of [ATTACHMENTS,CONFIGURATIONS,SETTINGS,STATISTICS,TAGS]"),
    ("CreateService", b'{"serviceName":"a","schedulingStrategy":"X"}', "InvalidParameterException",
     "Scheduling strategy should be one of [REPLICA,DAEMON]"),
])
def test_broken_rules_have_awss_words(server, operation, body, name, message):
    assert error_of(call(server, operation, body)) == (400, name, message)


def test_unknown_operations(server):
    for operation in ("NoSuchThing", "", "listclusters"):
        assert error_of(call(server, operation))[:2] == (400, "UnknownOperationException")
    wrong = call(server, "ListClusters", change={"X-Amz-Target": "Elsewhere.ListClusters"})
    assert error_of(wrong)[:2] == (400, "UnknownOperationException")
    none = call(server, "ListClusters", drop=["X-Amz-Target"])
    assert error_of(none)[:2] == (400, "UnknownOperationException")


def test_unbuilt_operations_say_so(server):
    status, name, message = error_of(call(server, "DescribeDaemon", b'{"daemonArn":"arn:x"}'))
    assert (status, name) == (400, "UnsupportedFeatureException") and "DescribeDaemon" in message


def test_conflicts_carry_resource_ids(standin):
    _, _, body = call(standin, "RunTask", b'{"taskDefinition":"a"}')
    assert json.loads(body)["resourceIds"] == ["arn:task"]


# ---- signatures

def utc(**delta):
    return datetime.datetime.utcnow() + datetime.timedelta(**delta)


def test_unsigned_requests(server):
    reply = call(server, "ListClusters", drop=["Authorization"])
    assert error_of(reply) == (400, "MissingAuthenticationTokenException", "Missing Authentication Token")


def test_signature_mismatch(server):
    reply = call(server, "ListClusters", secret="another")
    status, name, message = error_of(reply)
    assert (status, name) == (400, "InvalidSignatureException") and message.startswith(INVALID_SIGNATURE)


def test_a_changed_body_does_not_match(server):
    head = call_bytes(server, "ListClusters", b"{ }")
    assert error_of(exchange(server, head + b"{\t}"))[1] == "InvalidSignatureException"


def test_unknown_key(server):
    reply = call(server, "ListClusters", key_id="AKIANOBODY")
    assert error_of(reply) == (400, "UnrecognizedClientException",
                               "The security token included in the request is invalid.")


def test_session_token_of_no_session(server):
    reply = call(server, "ListClusters", extra={"X-Amz-Security-Token": "token"})
    assert error_of(reply) == (400, "UnrecognizedClientException",
                               "The security token included in the request is invalid.")


@pytest.mark.parametrize("minutes, pattern", [
    (-6, r"Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)"),
    (6, r"Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)"),
])
def test_clock_skew(server, minutes, pattern):
    status, name, message = error_of(call(server, "ListClusters", when=utc(minutes=minutes)))
    assert (status, name) == (400, "InvalidSignatureException") and re.fullmatch(pattern, message), message
    assert call(server, "ListClusters", when=utc(minutes=minutes * 4 / 6))[0] == 200


def test_scope(server):
    assert error_of(call(server, "ListClusters", service="ec2")) == (
        400, "InvalidSignatureException", "Credential should be scoped to correct service: 'ecs'.")
    assert error_of(call(server, "ListClusters", region="mars-north-1")) == (
        400, "InvalidSignatureException", "Credential should be scoped to a valid region.")
    assert call(server, "ListClusters", region="eu-central-1")[0] == 200


@pytest.mark.parametrize("value", [
    "AWS4-HMAC-SHA256 Credential=a/b/c", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0",
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ecs/aws4_request, Signature=0",
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host",
    "AWS4-HMAC-SHA256",
])
def test_incomplete_signatures(server, value):
    reply = call(server, "ListClusters", change={"Authorization": value})
    assert error_of(reply)[:2] == (400, "IncompleteSignatureException")


def test_a_signature_without_a_date(server):
    reply = call(server, "ListClusters", drop=["X-Amz-Date"])
    assert error_of(reply)[:2] == (400, "IncompleteSignatureException")


def test_content_sha256_is_checked(server):
    right = {"X-Amz-Content-Sha256": hashlib.sha256(b"{}").hexdigest()}
    assert call(server, "ListClusters", extra=right)[0] == 200
    wrong = {"X-Amz-Content-Sha256": hashlib.sha256(b"other").hexdigest()}
    assert error_of(call(server, "ListClusters", extra=wrong))[0] == 400
    assert error_of(call(server, "ListClusters", extra={"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}))[0] == 400


def agent_key(server):
    text = pathlib.Path(server.data, "agent-credentials").read_text()
    return dict(key_id=re.search(r"aws_access_key_id = (\S+)", text).group(1),
                secret=re.search(r"aws_secret_access_key = (\S+)", text).group(1))


def test_the_agents_key_makes_the_agents_calls_only(server):
    assert os.stat(os.path.join(server.data, "agent-credentials")).st_mode & 0o777 == 0o600
    status, name, message = error_of(call(server, "ListClusters", **agent_key(server)))
    assert (status, name) == (400, "AccessDeniedException")
    assert re.fullmatch(r"User: arn:aws:sts::\d{12}:assumed-role/ecsInstanceRole/\S+ is not authorized to perform: "
                        r"ecs:ListClusters on resource: \* because no identity-based policy allows the "
                        r"ecs:ListClusters action", message)
    assert b"AccessDenied" not in call(server, "DiscoverPollEndpoint", **agent_key(server))[2]


# ---- websockets

class Channel:
    def __init__(self, server, path="/ws", query="", change=None, **signing):
        self.sock = server.connect()
        self.stream = self.sock.makefile("rb")
        headers = sign("GET", path, query, {"Host": f"127.0.0.1:{server.port}"}, b"", **(signing or agent_key(server)))
        headers.update({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(), **(change or {})})
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value is not None)
        self.sock.sendall(f"GET {path}?{query} HTTP/1.1\r\n{head}\r\n".encode())
        self.status, self.headers, self.body = read_reply(self.stream)

    def send(self, data, opcode=1, final=True, mask=b"abcd"):
        data = data.encode() if isinstance(data, str) else data
        length = bytes([0x80 | len(data)]) if len(data) < 126 else (
            b"\xfe" + struct.pack(">H", len(data)) if len(data) < 65536 else b"\xff" + struct.pack(">Q", len(data)))
        if not mask:
            length, mask = bytes([length[0] & 0x7f]) + length[1:], b""
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if mask else data
        self.sock.sendall(bytes([(0x80 if final else 0) | opcode]) + length + mask + body)

    def receive(self):
        head = self.stream.read(2)
        if len(head) < 2:
            return None, b""
        size = head[1] & 0x7f
        if size > 125:
            size = struct.unpack(">H" if size == 126 else ">Q", self.stream.read(2 if size == 126 else 8))[0]
        return head[0] & 0xf, self.stream.read(size)

    def message(self):
        opcode, data = self.receive()
        assert opcode == 1, (opcode, data)
        return json.loads(data)

    def close(self):
        self.stream.close()
        self.sock.close()


ACS = "agentVersion=1.0&clusterArn=default&containerInstanceArn=arn%3Ax&dockerVersion=DockerVersion%3A+25&sendCredentials=true&seqNum=1"


def test_an_agents_channel(standin):
    channel = Channel(standin, query=ACS)
    assert channel.status == 101
    expected = base64.b64encode(hashlib.sha1(
        base64.b64encode(b"0123456789abcdef") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    assert channel.headers["sec-websocket-accept"] == expected
    assert channel.message()["type"] == "HeartbeatMessage"
    for _ in range(3):
        channel.send('{"type":"HeartbeatAckRequest","message":{"messageId":"1"}}')
        assert channel.message()["message"]["healthy"] is True
    channel.send('{"type":"NobodyKnows","message":{}}')
    channel.send(b"", opcode=9)
    assert channel.receive()[0] == 10
    channel.send('{"type":"HeartbeatAck', final=False)
    channel.send('Request","message":{"messageId":"bye"}}', opcode=0)
    assert channel.receive() == (8, struct.pack(">H", 1000))
    channel.send(struct.pack(">H", 1000), opcode=8)
    assert channel.receive() == (None, b"")
    channel.close()


def test_a_refused_agent_gets_its_reason_and_no_101(standin):
    channel = Channel(standin, query=ACS.replace("arn%3Ax", "refused"))
    assert channel.status == 400 and "InactiveInstanceException" in json.loads(channel.body)
    assert len(channel.body) <= 1024
    channel.close()


def test_telemetry_is_acknowledged(server):
    channel = Channel(server, "/telemetry/ws", "agentVersion=1.0&cluster=default&containerInstance=arn")
    assert channel.status == 101
    head = "Authorization: AWS4-HMAC-SHA256 x\r\nHost: x\r\nX-Amz-Date: y\r\n\r\n"
    for kind, ack in (("PublishMetricsRequest", "AckPublishMetric"), ("PublishHealthRequest", "AckPublishHealth"),
                      ("PublishInstanceStatusRequest", "AckPublishInstanceStatus")):
        for prefix in (head, ""):
            channel.send(prefix + json.dumps({"type": kind, "message": {"metadata": {"messageId": "1"}}}))
            assert channel.message()["type"] == ack
    channel.send("nonsense")
    assert channel.message()["type"] == "BadRequestException"
    channel.close()


def test_upgrades_need_a_signature(server):
    for signing in (dict(key_id="nobody", secret="x"), dict(key_id=KEY_ID, secret="wrong")):
        for path in ("/ws", "/telemetry/ws"):
            channel = Channel(server, path, ACS, **signing)
            assert channel.status == 400 and b"__type" in channel.body
            channel.close()


@pytest.mark.parametrize("change, status", [
    ({"Sec-WebSocket-Key": "short"}, 400), ({"Sec-WebSocket-Version": "8"}, 400), ({"Upgrade": "h2c"}, 400),
    ({"Upgrade": None, "Connection": None}, 426),
])
def test_bad_upgrades(server, change, status):
    channel = Channel(server, query=ACS, change=change)
    assert channel.status == status
    channel.close()


@pytest.mark.parametrize("frame, code", [
    (dict(data="x", mask=b""), 1002), (dict(data=b"\xff", opcode=1), 1007), (dict(data=b"x", opcode=2), 1003),
    (dict(data=b"x", opcode=3), 1002), (dict(data=b"x" * 126, opcode=9), None),
])
def test_broken_frames_end_the_channel(server, frame, code):
    channel = Channel(server, "/telemetry/ws", "cluster=a&containerInstance=b")
    channel.send(**frame)
    opcode, data = channel.receive()
    assert opcode == 8 and data[:2] == (struct.pack(">H", code) if code else b"")
    channel.close()


def test_a_message_over_the_limit_ends_the_channel(server):
    channel = Channel(server, "/telemetry/ws", "cluster=a&containerInstance=b")
    channel.sock.sendall(b"\x81\xff" + struct.pack(">Q", (4 << 20) + 1) + b"abcd" + b"x" * 100)
    opcode, data = channel.receive()
    assert opcode == 8 and struct.unpack(">H", data[:2])[0] == 1009
    channel.close()


# ---- life and death

def test_tls_with_a_certificate_of_our_own():
    server = Server("--tls")
    try:
        assert os.stat(os.path.join(server.data, "tls", "key.pem")).st_mode & 0o777 == 0o600
        assert call(server, "ListClusters")[0] == 200
        body = b'{"x":"' + b"y" * 500000 + b'"}'
        assert call(server, "ListClusters", body)[0] == 200
        unsigned = {"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}
        assert call(server, "ListClusters", extra=unsigned)[0] == 200
        channel = Channel(server, "/telemetry/ws", "cluster=a&containerInstance=b")
        channel.send('{"type":"PublishMetricsRequest","message":{}}')
        assert channel.message()["type"] == "AckPublishMetric"
        channel.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=5))
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
            plain.sendall(HEALTH)
            assert b"HTTP/1.1" not in plain.recv(1000)
    finally:
        assert server.stop() == 0


def test_graceful_shutdown_says_goodbye():
    server = Server()
    channel = Channel(server, "/telemetry/ws", "cluster=a&containerInstance=b")
    idle, half = server.connect(), server.connect()
    data = call_bytes(server, "ListClusters") + b"{}"
    half.sendall(data + data[:50])
    stream = half.makefile("rb")
    assert read_reply(stream)[0] == 200                  # what came with it was read, too
    server.process.send_signal(signal.SIGTERM)
    assert channel.receive() == (8, struct.pack(">H", 1001))
    channel.send(struct.pack(">H", 1001), opcode=8)
    assert idle.recv(10) == b""
    eventually(lambda: not takes_connections(server), 10, 0.01, "each thread to close its own listener")
    half.sendall(data[50:])
    status, headers, _ = read_reply(stream)
    assert status == 200 and headers["connection"] == "close"
    half.close()
    assert server.stop() == 0


def takes_connections(server):
    try:
        server.connect(timeout=1).close()
        return True
    except OSError:
        return False


def test_what_was_answered_survives_kill_9():
    server = Server()
    names = [f"c{i}" for i in range(40)]
    for name in names:
        assert call(server, "CreateCluster", json.dumps({"clusterName": name}).encode())[0] == 200
    server.process.kill()
    server.process.wait()
    again = Server(data=server.data)
    try:
        listed = json.loads(call(again, "ListClusters")[2])["clusterArns"]
        assert {arn.split("/")[-1] for arn in listed} == set(names)
    finally:
        again.stop()
        server.folder.cleanup()


def test_a_second_server_on_the_same_data_is_refused(server):
    other = subprocess.run([PROGRAM, "server", "--listen", "127.0.0.1:0", "--data", server.data], capture_output=True,
                           env=dict(os.environ, WHERRY_ROOT_ACCESS_KEY_ID="a", WHERRY_ROOT_SECRET_ACCESS_KEY="b"),
                           timeout=20)
    assert other.returncode == 1 and b"in use" in other.stderr


def test_a_taken_port_is_refused(server):
    with tempfile.TemporaryDirectory() as folder:
        other = subprocess.run([PROGRAM, "server", "--listen", f"127.0.0.1:{server.port}", "--data", folder],
                               capture_output=True, timeout=20)
    assert other.returncode == 1 and b"Address already in use" in other.stderr


def test_connections_over_the_limit_are_turned_away():
    limited = Server(wrapper=("prlimit", "--nofile=400:400"))
    held = []
    try:
        for _ in range(400 - 128):
            held.append(limited.connect())
        # The kernel takes connections before the threads do.
        eventually(lambda: connections_of(held[0]) == len(held), what="as many connections as are open")
        with limited.connect() as sock:
            status, headers, body = read_reply(sock.makefile("rb"))
        assert status == 503 and json.loads(body)["__type"] == "ServiceUnavailableException"
        held.pop().close()
        eventually(lambda: connections_of(held[0]) == len(held), what="its end to be seen")
        assert exchange(limited, HEALTH)[0] == 200
    finally:
        for sock in held:
            sock.close()
        assert limited.stop() == 0


def connections_of(sock):
    """How many the server has, which says so on one of them."""
    sock.sendall(HEALTH)
    return json.loads(read_reply(sock.makefile("rb"))[2])["connections"]


def test_a_full_disk_loses_nothing_that_was_answered():
    """The file size limit stands for a full disk: the write fails, nothing more is answered, the process says why."""
    full = Server(wrapper=("prlimit", "--fsize=400000:400000"))
    answered, refused = [], None
    for i in range(3000):
        name = f"c{i}-" + "x" * 200
        try:
            status, _, body = call(full, "CreateCluster", json.dumps({"clusterName": name}).encode())
        except (OSError, KeyError):
            break
        if status != 200:
            refused = error_of((status, {"x-amzn-errortype": "ServerException"}, body)) if status else refused
            break
        answered.append(name)
    assert full.process.wait(timeout=20) == 1, full.log()
    assert "event=append" in full.log()
    assert refused is None or refused[:2] == (500, "ServerException")
    assert len(answered) > 5
    again = Server(data=full.data)
    try:
        listed, token = set(), None
        while True:
            reply = json.loads(call(again, "ListClusters", json.dumps({"nextToken": token} if token else {}).encode())[2])
            listed |= {arn.split("/")[-1] for arn in reply["clusterArns"]}
            token = reply.get("nextToken")
            if not token:
                break
        assert set(answered) <= listed
    finally:
        again.stop()
        full.folder.cleanup()
