"""Reads api/ecs.api: which operations there are, which are built, and the least input that each takes."""
import functools
import re

from wherry import ROOT

SCALARS = {"string": "x", "boolean": True, "integer": 1, "long": 1, "double": 1.0, "float": 1.0, "timestamp": 1}


@functools.lru_cache
def blocks():
    """First line's words -> the lines below, for every op, struct, list, map and enum."""
    found, lines = {}, None
    for line in (ROOT / "api" / "ecs.api").read_text().splitlines():
        if line.startswith("  "):
            lines.append(line.strip())
        elif line and not line.startswith("#"):
            words = line.split()
            lines = found.setdefault((words[0], words[1].split("(")[0]), [])
            lines[:0] = [line]
    return found


def operations():
    return [name for kind, name in blocks() if kind == "op"]


def built(operation):
    return "unbuilt" not in blocks()["op", operation]


def least(shape):
    if shape in SCALARS:
        return SCALARS[shape]
    if ("type", shape) in blocks():
        return least(blocks()["type", shape][0].split()[2])
    if ("enum", shape) in blocks():
        return blocks()["enum", shape][0].split()[2]
    if ("list", shape) in blocks():
        return [least(blocks()["list", shape][0].split()[3])]
    if ("struct", shape) in blocks():
        fields = [line.split() for line in blocks()["struct", shape][1:]]
        return {field[0]: least(field[1]) for field in fields if "required" in field[2:]}
    return {}


def least_input(operation):
    request = re.search(r"\((\w*)\)", blocks()["op", operation][0]).group(1)
    return least(request) if request else {}
