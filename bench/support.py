"""What the Python benchmarks share: figures, memory of a process, and a client that costs little beside what it measures."""
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "test" / "support"))


def figure(name, value, unit, setting):
    print("%s\t%.*f\t%s\t%s" % (name, 3 if value < 10 else 1 if value < 1000 else 0, value, unit, setting), flush=True)


def spread(name, seconds, setting):
    """p50 and p99, in ms."""
    ordered = sorted(seconds)
    figure(name + ".p50", statistics.median(ordered) * 1e3, "ms", setting)
    figure(name + ".p99", ordered[int((len(ordered) - 1) * 0.99)] * 1e3, "ms", setting)


def memory(pid):
    """MiB: what is resident, what of it is the process's own, and its share when shared pages are split."""
    found = {}
    for file in ("status", "smaps_rollup"):
        for line in open("/proc/%d/%s" % (pid, file)):
            name, _, rest = line.partition(":")
            if name in ("VmRSS", "RssAnon", "Pss"):
                found[name] = int(rest.split()[0]) / 1024
    return found


class Client:
    """Signed calls on one connection that stays open."""

    def __init__(self, port, keys, region="us-east-1"):
        self.port, (self.key_id, self.secret), self.region = port, keys, region
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.day = self.key = None

    def signing_key(self, day):
        if day != self.day:
            key = ("AWS4" + self.secret).encode()
            for part in (day, self.region, "ecs", "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self.day, self.key = day, key
        return self.key

    def call(self, operation, **body):
        payload = json.dumps(body).encode()
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        headers = {"content-type": "application/x-amz-json-1.1", "host": "127.0.0.1:%d" % self.port, "x-amz-date": now,
                   "x-amz-target": "AmazonEC2ContainerServiceV20141113." + operation}
        names = ";".join(headers)
        request = "POST\n/\n\n%s\n%s\n%s" % ("".join("%s:%s\n" % item for item in headers.items()), names,
                                             hashlib.sha256(payload).hexdigest())
        scope = "%s/%s/ecs/aws4_request" % (now[:8], self.region)
        text = "AWS4-HMAC-SHA256\n%s\n%s\n%s" % (now, scope, hashlib.sha256(request.encode()).hexdigest())
        signature = hmac.digest(self.signing_key(now[:8]), text.encode(), "sha256").hex()
        headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            self.key_id, scope, names, signature)
        self.connection.request("POST", "/", body=payload, headers=headers)
        answer = self.connection.getresponse()
        reply = json.loads(answer.read() or b"{}")
        if answer.status != 200:
            raise RuntimeError("%s: %d %s" % (operation, answer.status, reply))
        return reply


def use_build(folder):
    """The program that test/support/wherry.py starts is this one."""
    os.environ["WHERRY_BUILD"] = str(pathlib.Path(folder).resolve())
