#!/usr/bin/env python3
"""Makes an OCI layout of small images for the tests, out of /bin/busybox.

usage: make_image.py FOLDER

Tags: app (gzip and plain layers, a whiteout), multi (an index with an image for every common platform),
foreign (an index with none for any), wrong-diff (the config's diff id is not the layer's), traversal (a layer
with ../), no-size (a descriptor without size), many (128 layers).
"""
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

OCI = "application/vnd.oci.image."
ARCHITECTURES = ["amd64", "arm64", "arm", "386", "riscv64", "ppc64le", "s390x"]
MACHINE = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    def __init__(self, folder):
        self.folder = folder
        self.index = []
        os.makedirs(folder + "/blobs/sha256", exist_ok=True)

    def blob(self, data):
        with open(self.folder + "/blobs/sha256/" + digest(data)[7:], "wb") as out:
            out.write(data)
        return {"digest": digest(data), "size": len(data)}

    def document(self, value, media_type):
        return {"mediaType": media_type, **self.blob(json.dumps(value).encode())}

    def image(self, layers, architecture, diff_ids=None, edit=None):
        """layers: (tar, "gzip" or "")"""
        config = {"architecture": architecture, "os": "linux",
                  "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/busybox", "true"], "WorkingDir": "/"},
                  "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(tar) for tar, _ in layers]}}
        manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                    "config": self.document(config, OCI + "config.v1+json"), "layers": []}
        for tar, form in layers:
            data = gzip.compress(tar, mtime=0) if form == "gzip" else tar
            kind = OCI + "layer.v1.tar" + ("+gzip" if form == "gzip" else "")
            manifest["layers"].append({"mediaType": kind, **self.blob(data)})
        if edit:
            edit(manifest)
        return self.document(manifest, OCI + "manifest.v1+json")

    def tag(self, name, descriptor):
        self.index.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}})

    def close(self):
        with open(self.folder + "/oci-layout", "w") as out:
            json.dump({"imageLayoutVersion": "1.0.0"}, out)
        with open(self.folder + "/index.json", "w") as out:
            json.dump({"schemaVersion": 2, "manifests": self.index}, out)


def tar(members):
    """members: (name, contents or None for a folder, mode)"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, contents, mode in members:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = mode, 1_600_000_000
            if contents is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(contents, str):
                info.type, info.linkname = tarfile.SYMTYPE, contents
            else:
                info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents) if isinstance(contents, bytes) else None)
    return out.getvalue()


def main():
    layout = Layout(sys.argv[1])
    here = MACHINE.get(os.uname().machine, os.uname().machine)
    with open("/bin/busybox", "rb") as source:
        busybox = source.read()
    base = tar([("bin/", None, 0o755), ("bin/busybox", busybox, 0o755), ("bin/sh", "busybox", 0o777),
                ("etc/", None, 0o755), ("etc/motd", b"lower\n", 0o644), ("etc/old", b"old\n", 0o644)])
    upper = tar([("etc/", None, 0o755), ("etc/motd", b"upper\n", 0o644), ("etc/.wh.old", b"", 0o644)])
    noise = tar([("noise", os.urandom(3 << 20), 0o644)])
    app = [(base, "gzip"), (upper, ""), (noise, "gzip")]

    layout.tag("app", layout.image(app, here))
    images = [{**layout.image([(base, "gzip"), (tar([("arch", name.encode(), 0o644)]), "gzip")], name),
               "platform": {"os": "linux", "architecture": name}} for name in ARCHITECTURES]
    kind = OCI + "index.v1+json"
    layout.tag("multi", layout.document({"schemaVersion": 2, "mediaType": kind, "manifests": images}, kind))
    for image in images:
        image["platform"] = {"os": "plan9", "architecture": "vax"}
    layout.tag("foreign", layout.document({"schemaVersion": 2, "mediaType": kind, "manifests": images}, kind))
    layout.tag("wrong-diff", layout.image([(upper, "gzip")], here, diff_ids=[digest(b"else")]))
    layout.tag("traversal", layout.image([(tar([("../outside", b"x", 0o644)]), "gzip")], here))
    layout.tag("no-size", layout.image([(upper, "")], here, edit=lambda m: m["layers"][0].pop("size")))
    layout.tag("many", layout.image([(tar([(str(i), b"", 0o644)]), "") for i in range(128)], here))
    layout.close()


main()
