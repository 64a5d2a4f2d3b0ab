#!/usr/bin/env python3
"""Makes an OCI layout with one small image out of the machine's static busybox: image.py BUSYBOX FOLDER."""
import gzip
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

APPLETS = ["sh", "cat", "echo", "env", "hostname", "httpd", "ls", "mkdir", "nc", "ps", "sleep", "wget", "date", "id", "kill",
           "seq", "head", "true", "false", "touch", "dd", "mount", "ip", "stat", "test", "yes", "nproc", "grep"]


def blob(folder, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(folder, "blobs", "sha256", digest), "wb") as file:
        file.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def layer(busybox):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        def add(name, kind=tarfile.DIRTYPE, data=b"", link="", mode=0o755):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname, info.mode = kind, len(data), link, mode
            tar.addfile(info, io.BytesIO(data))
        for name in ("bin", "etc", "www", "root"):
            add(name)
        add("tmp", mode=0o1777)
        add("etc/passwd", tarfile.REGTYPE, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", mode=0o644)
        add("etc/group", tarfile.REGTYPE, b"root:x:0:\nnogroup:x:65534:\n", mode=0o644)
        add("bin/busybox", tarfile.REGTYPE, open(busybox, "rb").read())
        for applet in APPLETS:
            add("bin/" + applet, tarfile.SYMTYPE, link="busybox")
    return out.getvalue()


def main(busybox, folder):
    os.makedirs(os.path.join(folder, "blobs", "sha256"), exist_ok=True)
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    tar = layer(busybox)
    compressed = gzip.compress(tar, mtime=0)
    config = json.dumps({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(folder, config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **blob(folder, compressed)}]}).encode()
    index = {"schemaVersion": 2, "manifests": [
        {"mediaType": "application/vnd.oci.image.manifest.v1+json", **blob(folder, manifest)}]}
    with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as file:
        json.dump(index, file)
    with open(os.path.join(folder, "oci-layout"), "w", encoding="utf-8") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
