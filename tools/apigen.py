#!/usr/bin/env python3
"""Turns api/*.api into C: structs, descriptors (base/shape.h), operation tables, a fuzz dictionary
and the coverage page. The format of the input is in api/README.md.

usage: apigen.py OUTDIR FILE.api...        writes OUTDIR/NAME.h, NAME.c, NAME.dict, NAME_handlers.h, .inc
       apigen.py --coverage PAGE FILE.api… writes the page (with --check: fails when it would change)
"""
import os
import re
import sys

SCALARS = {
    "string": ("STRING", "struct str"), "blob": ("BLOB", "struct str"),
    "boolean": ("BOOLEAN", "struct maybe_boolean"), "integer": ("INTEGER", "struct maybe_integer"),
    "long": ("LONG", "struct maybe_long"), "float": ("FLOAT", "struct maybe_double"),
    "double": ("DOUBLE", "struct maybe_double"), "timestamp": ("TIMESTAMP", "struct maybe_time"),
}
KEYWORDS = set("auto break case char const continue default do double else enum extern float for goto if "
               "inline int long register return short signed sizeof static struct switch typedef union "
               "unsigned void volatile while".split())


def snake(name):
    name = name.replace("FSx", "Fsx").replace("IAMPolicy", "IamPolicy")
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", name).lower()


def field(name):
    name = snake(name)
    return name + "_" if name in KEYWORDS else name


def quote(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Shape:
    def __init__(self, api, name, kind):
        self.api, self.name, self.kind = api, name, kind
        self.members = []
        self.element = self.key = None
        self.words = []
        self.base = None            # the scalar under a constrained type
        self.low = self.high = self.pattern = None
        self.sensitive = False
        self.options = {}

    @property
    def prefix(self):
        return self.api.prefix

    def c_name(self):
        return self.prefix + snake(self.name)

    def c_value(self):
        """The C type of a member (or element) of this shape."""
        if self.kind in ("struct", "union", "error"):
            return "struct %s" % self.c_name()
        if self.kind in ("list", "map"):
            return "struct %s" % self.c_name()
        if self.kind == "enum":
            return "enum %s" % self.c_name()
        return SCALARS[self.base][1]

    def c_member(self, name):
        star = "*" if self.kind in ("struct", "union", "error") else ""
        return "%s %s%s" % (self.c_value(), star, name)

    def descriptor(self):
        if self.api is None:
            return "shape_%s" % self.name
        return "shape_%s" % self.c_name()


BUILTIN = {}
for _name in SCALARS:
    BUILTIN[_name] = Shape(None, _name, "scalar")
    BUILTIN[_name].base = _name


class Member:
    def __init__(self, name, type_name, options):
        self.name, self.type_name, self.options = name, type_name, options
        self.shape = None


class Api:
    def __init__(self, path):
        self.path = path
        self.name = os.path.basename(path)[:-4]
        self.prefix = snake(self.name) + "_"
        self.settings, self.ops, self.shapes, self.order = {}, [], {}, []

    def fail(self, number, text):
        sys.exit("%s:%d: %s" % (self.path, number, text))


def parse_options(api, number, words):
    options = {}
    for word in words:
        key, _, value = word.partition("=")
        if key not in ("required", "name", "query", "header", "uri", "querystring", "flat", "attr", "stream",
                       "idempotency", "format", "deprecated", "code", "http", "fault", "payload", "sensitive"):
            api.fail(number, "unknown option '%s'" % word)
        options[key] = value or True
    return options


RANGE = re.compile(r"^\[(-?[\d.]*?)\.\.(-?[\d.]*)\]$")


def parse_range(shape, words):
    rest = []
    for word in words:
        match = RANGE.match(word)
        if match:
            shape.low = float(match.group(1)) if match.group(1) else None
            shape.high = float(match.group(2)) if match.group(2) else None
        else:
            rest.append(word)
    return rest


def parse(path):
    api = Api(path)
    current = None
    for number, line in enumerate(open(path, encoding="utf-8"), 1):
        line = line.rstrip("\n")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.startswith("  "):
            words = line.split()
            if isinstance(current, Shape):
                current.members.append(Member(words[0], words[1], parse_options(api, number, words[2:])))
            elif isinstance(current, dict):
                current[words[0]] = " ".join(words[1:]) if words[0] != "errors" else words[1:]
            else:
                api.fail(number, "a member of nothing")
            continue
        word, _, rest = line.partition(" ")
        if word == "service":
            api.settings["service"] = rest
            current = api.settings
        elif word == "op":
            match = re.match(r"^(\w+)\((\w*)\)(?: -> (\w+))?$", rest)
            if not match:
                api.fail(number, "cannot read operation '%s'" % rest)
            current = {"name": match.group(1), "input": match.group(2), "output": match.group(3)}
            api.ops.append(current)
        elif word in ("struct", "union", "error"):
            words = rest.split()
            current = Shape(api, words[0], word)
            current.options = parse_options(api, number, words[1:])
            api.shapes[words[0]] = current
            api.order.append(current)
        elif word in ("list", "map"):
            words = rest.split()
            shape = Shape(api, words[0], word)
            if words[1] != "of":
                api.fail(number, "expected 'of'")
            if word == "list":
                shape.element = words[2]
                more = words[3:]
            else:
                if words[3] != "to":
                    api.fail(number, "expected 'to'")
                shape.key, shape.element = words[2], words[4]
                more = words[5:]
            shape.options = parse_options(api, number, parse_range(shape, more))
            api.shapes[words[0]] = shape
            api.order.append(shape)
            current = None
        elif word == "enum":
            words = rest.split()
            shape = Shape(api, words[0], "enum")
            shape.words = words[1:]
            api.shapes[words[0]] = shape
            api.order.append(shape)
            current = None
        elif word == "type":
            match = re.match(r"^(\w+) (\w+)(.*)$", rest)
            shape = Shape(api, match.group(1), "scalar")
            shape.base = match.group(2)
            tail = match.group(3)
            pattern = re.search(r" /(.*)/(?: |$)", tail)
            if pattern:
                shape.pattern = pattern.group(1)
                tail = tail.replace("/" + shape.pattern + "/", "")
            words = parse_range(shape, tail.split())
            shape.sensitive = "sensitive" in words
            api.shapes[shape.name] = shape
            api.order.append(shape)
            current = None
        else:
            api.fail(number, "unknown line '%s'" % line)
    return api


def resolve(api, apis, name):
    if "." in name:
        other, name = name.split(".")
        return apis[other].shapes[name]
    if name in api.shapes:
        return api.shapes[name]
    if name in BUILTIN:
        return BUILTIN[name]
    sys.exit("%s: no shape '%s'" % (api.path, name))


def resolve_all(api, apis):
    for shape in api.order:
        for member in shape.members:
            member.shape = resolve(api, apis, member.type_name)
        if shape.element:
            shape.element = resolve(api, apis, shape.element)
        if shape.key:
            shape.key = resolve(api, apis, shape.key)
    for op in api.ops:
        op["input"] = resolve(api, apis, op["input"]) if op["input"] else None
        op["output"] = resolve(api, apis, op["output"]) if op["output"] else None
    for op in api.ops:          # an operation without input or output still has a shape to decode into
        for side in ("input", "output"):
            if op[side] is None:
                name = op["name"] + ("Request" if side == "input" else "Response")
                shape = api.shapes.get(name) or Shape(api, name, "struct")
                if name not in api.shapes:
                    api.shapes[name] = shape
                    api.order.append(shape)
                op[side] = shape


def is_structure(shape):
    return shape.kind in ("struct", "union", "error")


def imports(api):
    names = set()
    for shape in api.order:
        for used in [m.shape for m in shape.members] + [shape.element, shape.key]:
            if used is not None and used.api is not None and used.api is not api:
                names.add(used.api.name)
    return sorted(names)


def write_header(api, out):
    w = out.append
    w("/* Made by tools/apigen.py from api/%s.api: do not edit. */" % api.name)
    w("#pragma once")
    w('#include "base/shape.h"')
    for name in imports(api):
        w('#include "api/%s.h"' % name)
    w("")
    for shape in api.order:
        if is_structure(shape):
            w("struct %s;" % shape.c_name())
        elif shape.kind == "map":
            w("struct %s_entry;" % shape.c_name())
    w("")
    for shape in api.order:
        if shape.kind == "enum":
            upper = shape.c_name().upper()
            w("enum %s {" % shape.c_name())
            w("\t%s_ABSENT," % upper)
            for word in shape.words:
                w("\t%s_%s," % (upper, re.sub(r"[^A-Za-z0-9]+", "_", snake(word) if not word.isupper() else word).upper()))
            w("};")
    w("")
    for shape in api.order:
        if shape.kind == "list":
            w("struct %s { %s *items; size_t count; };" % (shape.c_name(), shape.element.c_value()))
        elif shape.kind == "map":
            w("struct %s { struct %s_entry *items; size_t count; };" % (shape.c_name(), shape.c_name()))
    w("")
    for shape in api.order:
        if is_structure(shape):
            w("struct %s {" % shape.c_name())
            for member in shape.members:
                w("\t%s;" % member.shape.c_member(field(member.name)))
            w("\tuint8_t nulls[%d];" % max(1, (len(shape.members) + 7) // 8))
            w("};")
    for shape in api.order:
        if shape.kind == "map":
            w("struct %s_entry { struct str key; %s value; };" % (shape.c_name(), shape.element.c_value()))
    w("")
    for shape in api.order:
        if shape.kind != "scalar" or shape.api:
            w("extern const struct shape %s;" % shape.descriptor())
    if api.ops:
        w("")
        w("extern const struct api api_%s;" % snake(api.name))
        w("enum %soperation {" % api.prefix)
        for op in sorted(api.ops, key=lambda o: o["name"]):
            w("\t%sOPERATION_%s," % (api.prefix.upper(), snake(op["name"]).upper()))
        w("\t%sOPERATION_COUNT" % api.prefix.upper())
        w("};")
    w("")


def number_text(value):
    return repr(float(value))


def write_source(api, out):
    w = out.append
    w("/* Made by tools/apigen.py from api/%s.api: do not edit. */" % api.name)
    w('#include "api/%s.h"' % api.name)
    w("")
    for shape in api.order:
        name = shape.c_name()
        limits = ""
        if shape.low is not None:
            limits += ", .has_min = true, .min = %s" % number_text(shape.low)
        if shape.high is not None:
            limits += ", .has_max = true, .max = %s" % number_text(shape.high)
        if shape.pattern is not None:
            limits += ", .pattern = %s" % quote(shape.pattern)
        if shape.sensitive:
            limits += ", .sensitive = true"
        head = ".name = STR_INIT(%s), .size = sizeof(%s)%s" % (quote(shape.name), shape.c_value(), limits)
        if is_structure(shape):
            if shape.members:
                w("static const struct member members_%s[] = {" % name)
                for m in shape.members:
                    flags = [f for key, f in (("required", "MEMBER_REQUIRED"), ("idempotency", "MEMBER_IDEMPOTENCY"),
                                              ("flat", "MEMBER_FLAT"), ("attr", "MEMBER_ATTRIBUTE"),
                                              ("stream", "MEMBER_STREAM"), ("deprecated", "MEMBER_DEPRECATED"))
                             if key in m.options]
                    if m.options.get("format") == "iso8601":
                        flags.append("MEMBER_ISO8601")
                    if "flat" in m.shape.options and "MEMBER_FLAT" not in flags:
                        flags.append("MEMBER_FLAT")
                    if shape.options.get("payload") == m.name:
                        flags.append("MEMBER_PAYLOAD")
                    location = ""
                    for key in ("header", "uri", "querystring", "query"):
                        if key in m.options:
                            location = ", .location = %s" % quote("%s=%s" % (key, m.options[key]))
                    wire = m.options.get("name", m.name)
                    w("\t{.name = STR_INIT(%s), .shape = &%s, .offset = offsetof(struct %s, %s), .flags = %s%s}," % (
                        quote(wire), m.shape.descriptor(), name, field(m.name), " | ".join(flags) or "0", location))
                w("};")
            kind = "UNION" if shape.kind == "union" else "STRUCTURE"
            members = (".members = members_%s, .member_count = %d, " % (name, len(shape.members))) if shape.members else ""
            w("const struct shape %s = {.kind = SHAPE_%s, %s.nulls_offset = offsetof(struct %s, nulls), %s};" % (
                shape.descriptor(), kind, members, name, head))
        elif shape.kind == "list":
            element_name = shape.options.get("name", "member")
            w("const struct shape %s = {.kind = SHAPE_LIST, .element = &%s, .element_name = STR_INIT(%s), %s};" % (
                shape.descriptor(), shape.element.descriptor(), quote(element_name), head))
        elif shape.kind == "map":
            w("const struct shape %s = {.kind = SHAPE_MAP, .element = &%s, .value_offset = offsetof(struct %s_entry, value), %s};"
              % (shape.descriptor(), shape.element.descriptor(), name,
                 head))
        elif shape.kind == "enum":
            w("static const struct str words_%s[] = {%s};" % (name, ", ".join("STR_INIT(%s)" % quote(x) for x in shape.words)))
            w("const struct shape %s = {.kind = SHAPE_ENUM, .words = words_%s, .word_count = %d, %s};" % (
                shape.descriptor(), name, len(shape.words), head))
        else:
            w("const struct shape %s = {.kind = SHAPE_%s, %s};" % (shape.descriptor(), SCALARS[shape.base][0], head))
    if api.ops:
        ops = sorted(api.ops, key=lambda o: o["name"])
        s = api.settings
        w("")
        w("static const struct operation operations[] = {")
        for index, op in enumerate(ops):
            http = ", .http = %s" % quote(op["http"]) if "http" in op else ""
            http += ", .unbuilt = true" if "unbuilt" in op else ""
            w("\t{.name = STR_INIT(%s), .index = %d, .input = &%s, .output = &%s, .api = &api_%s%s}," % (
                quote(op["name"]), index, op["input"].descriptor(), op["output"].descriptor(), snake(api.name), http))
        w("};")
        w("const struct api api_%s = {.name = STR_INIT(%s), .protocol = STR_INIT(%s), .version = STR_INIT(%s), "
          ".target_prefix = STR_INIT(%s), .signing_name = STR_INIT(%s), .xml_namespace = STR_INIT(%s), "
          ".operations = operations, .operation_count = %d};" % (
              snake(api.name), quote(s["service"]), quote(s.get("protocol", "")), quote(s.get("version", "")),
              quote(s.get("target", "")), quote(s.get("signing", "")), quote(s.get("xmlns", "")), len(ops)))
    w("")


def has_handler(op):
    """What the server's shell answers by itself has none in the brain, like what nobody answers yet."""
    return "unbuilt" not in op and "shell" not in op


def write_prototypes(api, out):
    """One handler a built operation: what the service's room must define."""
    w = out.append
    w("/* Made by tools/apigen.py from api/%s.api: do not edit. */" % api.name)
    w("#pragma once")
    w('#include "api/%s.h"' % api.name)
    w("struct call;")
    for op in sorted(api.ops, key=lambda o: o["name"]):
        if has_handler(op):
            w("bool %s%s(struct call *call, const struct %s *in, struct %s *out);" % (
                api.prefix, snake(op["name"]), op["input"].c_name(), op["output"].c_name()))
    w("")


def write_handlers(api, out):
    """One thunk a built operation, and the dispatch table, for one file of the service's room."""
    w = out.append
    w("/* Made by tools/apigen.py from api/%s.api: do not edit. */" % api.name)
    ops = sorted(api.ops, key=lambda o: o["name"])
    for op in ops:
        if has_handler(op):
            name = api.prefix + snake(op["name"])
            w("static bool do_%s(struct call *call, const void *in, void *out) { return %s(call, in, out); }" % (name, name))
    w("static const handler handlers[%sOPERATION_COUNT] = {" % api.prefix.upper())
    for op in ops:
        if has_handler(op):
            w("\t[%sOPERATION_%s] = do_%s%s," % (api.prefix.upper(), snake(op["name"]).upper(), api.prefix, snake(op["name"])))
    w("};")
    w("")


def write_dictionary(api, out):
    words = set()
    for shape in api.order:
        words.update(m.options.get("name", m.name) for m in shape.members)
        words.update(shape.words)
    words.update(op["name"] for op in api.ops)
    for word in sorted(words):
        out.append('"%s"' % word.replace("\\", "\\\\").replace('"', '\\"'))
    out.append("")


def coverage(apis):
    out = ["# API coverage", "",
           "Made by `tools/apigen.py --coverage` from `api/`; `make check` fails when it is stale. An operation that is",
           "not built answers with an AWS-formed error that says so and changes nothing.", ""]
    for api in apis:
        if "signing" not in api.settings:
            continue
        ops = sorted(api.ops, key=lambda o: o["name"])
        built = [o for o in ops if "unbuilt" not in o]
        out += ["## %s: %d of %d operations" % (api.settings["service"], len(built), len(ops)), "",
                "| operation | state |", "| --- | --- |"]
        out += ["| %s | %s |" % (o["name"], "not built" if "unbuilt" in o else "built") for o in ops]
        out.append("")
    return "\n".join(out)


def write(path, lines):
    text = "\n".join(lines)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main(arguments):
    page = None
    check = "--check" in arguments
    arguments = [a for a in arguments if a != "--check"]
    if arguments[0] == "--coverage":
        page = arguments[1]
        arguments = arguments[1:]
    outdir, paths = arguments[0], arguments[1:]
    apis = {}
    for path in paths:
        api = parse(path)
        apis[api.name] = api
        if api.settings.get("prefix") == "none":
            api.prefix = ""
    for api in apis.values():
        resolve_all(api, apis)
    if page:
        text = coverage(list(apis.values()))
        if check:
            sys.exit(0 if open(page, encoding="utf-8").read() == text else "%s is stale: run make coverage" % page)
        open(page, "w", encoding="utf-8").write(text)
        return
    for api in apis.values():
        for suffix, writer in ((".h", write_header), (".c", write_source), (".dict", write_dictionary)):
            lines = []
            writer(api, lines)
            write(os.path.join(outdir, api.name + suffix), lines)
        if api.ops:
            for suffix, writer in (("_handlers.h", write_prototypes), ("_handlers.inc", write_handlers)):
                lines = []
                writer(api, lines)
                write(os.path.join(outdir, api.name + suffix), lines)


if __name__ == "__main__":
    main(sys.argv[1:])
