"""The lines of a file of `cis dag export`, read from docs/decisions/0048-exports.md alone: nothing here is the node's code."""

import base64
import binascii
import hashlib
import json
import math
import re

import envelope
from envelope import Refused

ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE | re.ASCII)
SIGNATURE = re.compile(r"[0-9a-fA-F]{128}")
# What a damaged value makes of code that reads it.
DAMAGE = (Refused, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)


class NoExport(Exception):
    """The file is no export at all."""


class Object(dict):
    """A JSON object that knows the keys that it has twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.twice = len(pairs) != len(self)


def number(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number: {text}")
    return value


def integer(text):
    return number(text) if text == "-0" else int(text)


def no_number(text):
    raise ValueError(f"number: {text}")


def line_of(text):
    line = json.loads(
        text, object_pairs_hook=Object, parse_float=number, parse_int=integer, parse_constant=no_number
    )
    json.dumps(line, ensure_ascii=False).encode()
    return line


def is_int(value, low=0, high=2**63 - 1):
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_ulid(value):
    return isinstance(value, str) and ULID.fullmatch(value)


def has(line, **types):
    for name, kind in types.items():
        if not isinstance(line[name], kind) or kind is int and not is_int(line[name], -(2**63)):
            raise ValueError(f"{name} is of another type")


def lines_of(data):
    """The lines of the file, and whether they are those that were written."""
    lines, before, intact = [], 0, None
    for n, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), 1):
        try:
            line = line_of(raw.decode())
            kind = line["line"]
            if intact is not None:
                raise ValueError("it is behind the end")
            if line.twice or (kind == "header") != (n == 1):
                raise ValueError("it is no line of an export, or in the wrong place")
            if kind == "header":
                has(line, format=str, v=int, room=str, run=str, made_ms=int)
                if (line["format"], line["v"]) != ("cis.dag.export", 1) or not is_ulid(line["run"]):
                    raise ValueError("it is no header of a known version")
            elif kind == "event":
                has(line, id=str, type=str, sender=str, content=object)
            elif kind in ("file", "no_file"):
                if lines[-1]["line"] != "event":
                    raise ValueError("it is a file that no event names")
                lines[-1]["file"] = contents(line["data"]) if kind == "file" else None
                has(line, **({"data": str} if kind == "file" else {"why": str}))
            elif kind == "end":
                has(line, events=int, sha256=str)
                events = sum(one["line"] == "event" for one in lines)
                whole = hashlib.sha256(data[:before]).hexdigest()
                intact = (line["events"], line["sha256"]) == (events, whole)
            else:
                raise ValueError("unknown line")
        except DAMAGE as error:
            raise NoExport(f"this is no export of a run: line {n}: {error}") from error
        before += len(raw) + 1
        lines.append(line)
    return lines[0], [line for line in lines if line["line"] == "event"], intact


def contents(data):
    if "=" in data or re.search(r"[^A-Za-z0-9+/]", data):
        raise binascii.Error("it is not base64 without padding")
    raw = base64.b64decode(data + "=" * (-len(data) % 4), validate=True)
    if base64.b64encode(raw).decode().rstrip("=") != data:
        raise binascii.Error("it is not base64 as it is written")
    return raw


def signed(event, room):
    """The envelope of an event. Refuses one that was not signed for this place."""
    content = event["content"]
    try:
        if not isinstance(content, dict) or not is_ulid(content["id"]) or not SIGNATURE.fullmatch(content["sig"]):
            raise Refused("it is no signed envelope")
        if not (is_int(content["epoch"], high=2**32 - 1) and is_int(content["v"], high=2**32 - 1)):
            raise Refused("it has no term or no version")
        seq, run = content.get("seq"), content.get("run")
        if seq is not None and not (is_int(seq["incarnation"]) and is_int(seq["n"])):
            raise Refused("its number is malformed")
        if run is not None and not is_ulid(run):
            raise Refused("its run is malformed")
        envelope.check(content, room, event["type"], event["sender"])
    except DAMAGE as error:
        raise Refused(f"event {event['id']} of {event['sender']}: {error}") from error
    return content


def entries_of(event, body):
    """The entries of a page or snapshot, out of its file if it names one."""
    entries, file = body.get("entries"), body.get("file")
    if entries is None:
        raw = event.get("file")
        if raw is None or (hashlib.sha256(raw).hexdigest(), len(raw)) != (file["sha256"], file["size"]):
            raise Refused("the file that it names is not in the export, or another one than was signed")
        entries = json.loads(raw)
        if len(entries) != body.get("count", len(entries)):
            raise Refused("its file has another number of entries than was signed")
    if not isinstance(entries, list) or not entries:
        raise Refused("it has no entries")
    for n, entry in enumerate(entries):
        numbers = is_int(entry["at_ms"], -(2**63)) and is_int(entry["v"], high=2**32 - 1)
        objects = isinstance(entry["body"], dict) and isinstance(entry.get("actor", {}), dict)
        texts = isinstance(entry["type"], str) and isinstance(entry.get("cause", ""), str)
        if not numbers or not objects or not texts:
            raise Refused("an entry is malformed")
        if n and entry["type"] in ("cis.dag.run.created", "cis.dag.run.taken_over"):
            raise Refused("a run begins, or is taken over, in the middle of a page")
    return entries
