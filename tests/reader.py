#!/usr/bin/env python3
"""Reads a castctl log and lists it as JSON: a second implementation, written from castctl-log(5)
alone and with nothing but the standard library. It shares no line with castctl, so that the page is
proven enough to write a reader by. Not fast, and not a tool to use: castctl inspect is.

usage: reader.py DIRECTORY
"""

import json
import os
import re
import struct
import sys

VERSION = 3
LENGTH_MAX = 16777240
LIST_MAX = 64
OPEN_MAX = 4096


def crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc_table()


def crc32c(data):
    c = 0xFFFFFFFF
    for b in data:
        c = TABLE[(c ^ b) & 0xFF] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


class Bad(Exception):
    pass


class Body:
    """Fields from the front of some bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        if n > len(self.data) - self.at:
            raise Bad("too short")
        self.at += n
        return self.data[self.at - n:self.at]

    def num(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def nums(self, forms):
        return [self.num(f) for f in forms]

    def opt(self):
        present, value = self.num("B"), self.num("Q")
        return value if present else None

    def string(self):
        return self.take(self.num("B")).decode("utf-8")

    def position(self):
        return [self.num("I"), self.num("Q")]

    def count(self, form="H", limit=LIST_MAX):
        n = self.num(form)
        if n > limit:
            raise Bad("list")
        return n


def signed(v):
    return None if v is None else struct.unpack("<q", struct.pack("<Q", v))[0]


def end(b, over):
    msn, dseq, wall = b.nums("QQq")
    tracks = []
    for _ in range(b.count()):
        track, last, parts, state = b.nums("HQIB")
        if state not in (1, 2, 3):
            raise Bad("last segment")
        tracks.append({"track": track, "msn": last, "parts": parts, "last": state})
    return {"msn": msn, "dseq": dseq, "wall": wall, "tracks": tracks, "over": over}


def rendition(b):
    name, track, kind = b.string(), b.num("H"), b.num("B")
    if kind not in (1, 2):
        raise Bad("kind")
    codecs, bandwidth = b.string(), b.num("Q")
    size, rate, channels = b.opt(), b.opt(), b.opt()
    size = None if size is None else [size >> 32, size & 0xFFFFFFFF]
    return {"name": name, "track": track, "kind": kind, "codecs": codecs,
            "bandwidth": bandwidth, "size": size, "rate": rate, "channels": channels}


def mark(kind, flags, data):
    """The fields of a mark, or None for a kind that is not known."""
    b = Body(data)
    if kind == 2:
        session, generation, base, dseq = b.nums("QQQQ")
        previous = b.opt()
        if previous is not None:
            over = bool(b.num("B") & 1)
            previous = {"generation": previous, "end": end(b, over)}
        return {"session": session, "generation": generation, "base": base, "dseq": dseq,
                "previous": previous}
    if kind == 3:
        target, segment, part, budget, render = b.nums("IqqqI")
        return {"target": target, "segment": segment, "part": part, "budget": budget,
                "render": render, "renditions": [rendition(b) for _ in range(b.count())]}
    if kind == 4:
        codec, timescale, rate, per, length = b.nums("BIIII")
        if codec not in (1, 2, 3, 4, 5) or timescale == 0 or length > 65536:
            raise Bad("track")
        return {"codec": codec, "timescale": timescale, "rate": [rate, per],
                "configuration": crc32c(b.take(length))}
    if kind == 5:
        msn, dseq, wall, first = b.nums("QQqQ")
        return {"msn": msn, "dseq": dseq, "wall": wall, "first": first,
                "independent": bool(flags & 4), "discontinuity": bool(flags & 8)}
    if kind == 6:
        msn, part, first, last, time, duration = b.nums("QIQQQq")
        return {"msn": msn, "part": part, "first": first, "last": last, "time": time,
                "duration": duration, "independent": bool(flags & 4)}
    if kind == 7:
        msn, part, duration, wall, dseq = b.nums("QIqqQ")
        return {"msn": msn, "part": part if flags & 16 else None, "duration": duration,
                "wall": wall, "dseq": dseq}
    if kind == 8:
        return end(b, bool(flags & 32))
    if kind == 9:
        start, duration, added = b.nums("qqq")
        name, group = b.string(), b.string()
        length = b.num("I")
        if not name or len(name) > 64 or len(group) > 128 or length > 4096:
            raise Bad("cue")
        if not 0 <= duration <= 12 * 3600 * 1000000:
            raise Bad("cue")
        if not re.fullmatch(r"[A-Za-z0-9._:/-]*", name + group):
            raise Bad("cue")
        try:
            data = json.loads(b.take(length).decode("utf-8"))
        except ValueError as e:
            raise Bad("cue") from e
        return {"id": name, "class": group, "start": start, "duration": duration,
                "added": added, "data": data, "repeated": bool(flags & 64)}
    return None


def frame(data, at):
    """(end, kind, flags, track, body) of the record at `at`, or None where there is none."""
    if len(data) - at < 12:
        return None
    length, check, kind, flags, track = struct.unpack_from("<IIBBH", data, at)
    stop = at + 8 + length
    if not 4 <= length <= LENGTH_MAX or stop > len(data):
        return None
    if crc32c(data[at + 8:stop]) != check:
        return None
    return stop, kind, flags, track, data[at + 12:stop]


def footer(b):
    out = {"extent": b.num("I"), "recordsEnd": b.num("Q"), "dseq": b.opt()}
    out["wall"] = [signed(b.opt()), signed(b.opt())]
    out["msn"] = [b.opt(), b.opt()]
    out["tracks"] = []
    for _ in range(b.count()):
        track, seq, packets, unlisted, keys, size = b.nums("HQQQQQ")
        tail = None
        if b.num("B"):
            msn, parts, last = b.nums("QIB")
            tail = {"msn": msn, "parts": parts, "last": last, "wall": signed(b.opt())}
        waiting = []
        for _ in range(b.count("I", OPEN_MAX)):
            waiting.append([b.num("Q"), b.position(), b.num("I")])
        out["tracks"].append({"track": track, "nextSeq": seq, "packets": packets,
                              "unlisted": unlisted, "keys": keys, "bytes": size, "tail": tail,
                              "waiting": len(waiting)})
    number = b.num("I")
    block = b.take(b.num("I"))
    out["marks"], at = [], 0
    while at < len(block):
        entry = Body(block[at:])
        offset, span = entry.num("Q"), None
        if entry.num("B"):
            span = [entry.position(), entry.position()]
        at += entry.at
        found = frame(block, at)
        if found is None:
            raise Bad("a mark in the footer")
        out["marks"].append({"at": offset, "kind": found[1], "span": span})
        at = found[0]
    if len(out["marks"]) != number:
        raise Bad("number of marks")
    return out


def header(data):
    if len(data) < 32 or data[:8] != b"castlog\n":
        raise Bad("no extent")
    version, flags, index, generation, oldest, _, check = struct.unpack_from("<HHIQHHI", data, 8)
    if crc32c(data[:28]) != check:
        raise Bad("the header's checksum")
    if max(oldest, 1) > VERSION:
        raise Bad(f"version {version} is for readers of {oldest} or newer")
    return {"version": version, "oldestReader": max(oldest, 1), "forced": bool(flags & 1),
            "extent": index, "generation": generation}


def sealed(data, index):
    """Where the footer of a sealed extent starts."""
    if len(data) < 48 or data[-8:] != b"castend\n":
        return None
    length, check = struct.unpack("<II", data[-16:-8])
    at = len(data) - 16 - length
    if crc32c(data[-16:-12] + data[-8:]) != check or at < 32:
        return None
    found = frame(data, at)
    if found is None or found[0] != len(data) - 16 or found[1] != 128:
        return None
    return at if struct.unpack("<IQ", found[4][:12]) == (index, at) else None


def extent(path):
    with open(path, "rb") as f:
        data = f.read()
    out = header(data)
    stop = sealed(data, out["extent"])
    out["sealed"] = stop is not None
    limit = len(data) if stop is None else stop
    at, out["records"] = 32, []
    while at < limit:
        found = frame(data, at)
        if found is None:
            break
        end_at, kind, flags, track, body = found
        record = {"at": at, "kind": kind, "track": track}
        try:
            if kind == 1:
                b = Body(body)
                seq, dts, cts = b.nums("Qqi")
                payload = body[b.at:]
                record.update(seq=None if flags & 2 else seq, dts=dts, cts=cts,
                              key=bool(flags & 1), size=len(payload), crc=crc32c(payload))
            else:
                record["mark"] = mark(kind, flags, body)
        except (Bad, UnicodeDecodeError) as e:
            record["skipped"] = str(e)
        out["records"].append(record)
        at = end_at
    out["end"] = at
    out["footer"] = footer(Body(frame(data, stop)[4])) if stop is not None else None
    return out


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    names = sorted(n for n in os.listdir(sys.argv[1]) if re.fullmatch(r"\d{8}\.extent", n))
    try:
        json.dump([extent(os.path.join(sys.argv[1], n)) for n in names], sys.stdout)
    except Bad as e:
        sys.exit(f"{sys.argv[1]}: {e}")


if __name__ == "__main__":
    main()
