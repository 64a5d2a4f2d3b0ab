#!/usr/bin/env python3
"""A registry for the tests: serves an OCI layout and misbehaves on request.

usage: registry.py LAYOUT [CERTIFICATE KEY]

Prints its port and that of a second, distrustful host; with a certificate the first speaks https. The first part
of a repository's name says how it behaves: MODES. A GET of /requests tells how many blobs were asked for.
"""
import base64
import http.server
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse

MODES = """open         no login
basic        user and password (robot, secret)
bearer       a token, for user and password
public       a token, for anybody
leaky        a token server without https on another host's name
redirect     blobs are on the other host, which refuses who shows it a login
loop         blobs redirect for ever
broken       every connection breaks off after 1 MiB; can go on with a range
stubborn     the same, but always begins at the start, and gets a little further each time
truncated    blobs say they are half as long
wrong        blobs have a byte changed
lying        manifests have another digest in their header
flaky        every second request is answered with 503
limited      429
slow         blobs stop in the middle
endless      manifests never end"""

MIB = 1 << 20
LOGIN = "Basic " + base64.b64encode(b"robot:secret").decode()
counts = {"blobs": 0, "all": 0, "reach": {}}
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def error(self, status, code, message, **headers):
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.answer(status, body, Content_Type="application/json", **headers)

    def own_url(self, path):
        return "%s://127.0.0.1:%d%s" % ("https" if self.server.secure else "http", ports[0], path)

    def blob(self, digest):
        path = layout + "/blobs/sha256/" + digest[7:]
        return open(path, "rb").read() if os.path.exists(path) else None

    def token(self, query):
        mode = query.get("scope", [""])[0].split(":")[1].split("/")[0]
        if mode == "bearer" and self.headers.get("Authorization") != LOGIN:
            return self.error(401, "UNAUTHORIZED", "incorrect username or password")
        if query.get("service") != ["test service"]:
            return self.error(400, "UNSUPPORTED", "no service")
        self.answer(200, json.dumps({"token": "let-me-in-" + mode, "expires_in": 60}).encode())

    def is_welcome(self, mode, repository):
        shown = self.headers.get("Authorization")
        if mode == "basic" and shown != LOGIN:
            self.error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="test"')
        elif mode in ("bearer", "public", "leaky", "redirect") and shown != "Bearer let-me-in-" + mode:
            realm = "http://tokens.example/token" if mode == "leaky" else self.own_url("/token")
            self.error(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=
                       'Bearer realm="%s",service="test service",scope="repository:%s:pull"' % (realm, repository))
        else:
            return True
        return False

    def send_manifest(self, mode, reference):
        index = json.load(open(layout + "/index.json"))["manifests"]
        found = [m["digest"] for m in index if m["annotations"]["org.opencontainers.image.ref.name"] == reference]
        digest = found[0] if found else reference
        data = self.blob(digest) if digest.startswith("sha256:") else None
        if data is None:
            return self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if mode == "endless":
            self.answer(200, length=1 << 40)
            while True:
                self.wfile.write(b" " * MIB)
        claimed = "sha256:" + "0" * 64 if mode == "lying" else digest
        self.answer(200, data, Docker_Content_Digest=claimed, Content_Type=json.loads(data)["mediaType"])

    def send_part(self, mode, digest, data):
        """broken and stubborn: a mebibyte, and then nothing."""
        start = 0
        with lock:
            reach = counts["reach"][digest] = counts["reach"].get(digest, 0) + MIB
        if mode == "broken" and "Range" in self.headers:
            start = int(self.headers["Range"].split("=")[1].split("-")[0])
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(data[start:start + MIB] if mode == "broken" else data[:reach])
        self.close_connection = True

    def send_blob(self, mode, digest):
        data = self.blob(digest)
        with lock:
            counts["blobs"] += 1
        if data is None:
            return self.error(404, "BLOB_UNKNOWN", "blob unknown")
        if len(data) < 4096 and mode != "loop":  # configs
            return self.answer(200, data)
        if mode == "redirect":
            return self.answer(307, Location="http://127.0.0.1:%d/blob/%s" % (ports[1], digest))
        if mode == "loop":
            return self.answer(307, Location=self.path)
        if mode in ("broken", "stubborn"):
            return self.send_part(mode, digest, data)
        if mode == "truncated":
            data = data[:len(data) // 2]
        if mode == "wrong":
            data = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        if mode == "slow":
            self.answer(200, data[:1000], length=len(data))
            time.sleep(20)
            return self.answer(500)
        self.answer(200, data)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        parts = url.path.split("/")
        with lock:
            counts["all"] += 1
        if url.path == "/token":
            return self.token(urllib.parse.parse_qs(url.query))
        if url.path == "/requests":
            return self.answer(200, str(counts["blobs"]).encode())
        if parts[1] == "blob":
            if "Authorization" in self.headers:
                return self.error(400, "LEAKED", "a login was shown to another host")
            return self.answer(200, self.blob(parts[2]))
        repository, mode = "/".join(parts[2:-2]), parts[2]
        if mode == "limited":
            return self.error(429, "TOOMANYREQUESTS", "slow down")
        if mode == "flaky" and counts["all"] % 2:
            return self.error(503, "UNAVAILABLE", "try again")
        if not self.is_welcome(mode, repository):
            return None
        if parts[-2] == "manifests":
            return self.send_manifest(mode, parts[-1])
        return self.send_blob(mode, parts[-1])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    secure = False

    def handle_error(self, request, client_address):
        pass


layout = sys.argv[1]
servers = [Server(("127.0.0.1", 0), Handler), Server(("127.0.0.1", 0), Handler)]
ports = [server.server_port for server in servers]
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    servers[0].socket = context.wrap_socket(servers[0].socket, server_side=True)
    servers[0].secure = True
threading.Thread(target=servers[1].serve_forever, daemon=True).start()
print(*ports, flush=True)
servers[0].serve_forever()
