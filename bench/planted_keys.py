#!/usr/bin/env python3
"""Plants keys in a gigabyte of text, and looks for them: by `nest keys scan`, and by the published pattern and checksum.

    bench/planted_keys.py NEST [--keys 10000] [--bytes 1001000000] [--results bench/results/planted_keys.md]

The keys are made here, by what docs/keys.md says of them and by nothing of ours, so that the document is tested, too.
"""

import argparse, datetime, json, os, random, re, subprocess, tempfile, time, zlib

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PATTERN = re.compile(rb"nest_(?:live|test)_[0-9A-Za-z]{60}")


def base62(number, width):
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def checksum(body):
    return base62(zlib.crc32(body.encode()), 6)


def key(chance):
    body = f"nest_{chance.choice(['live', 'test'])}_{base62(chance.getrandbits(128), 22)}"
    body += "".join(chance.choices(BASE62, k=32))
    return body + checksum(body)


def decoy(chance):
    """What looks like a key, and is none."""
    good = key(chance)
    kind = chance.randrange(6)
    if kind == 0:
        at = chance.randrange(10, len(good))
        other = chance.choice(BASE62.replace(good[at], ""))
        return good[:at] + other + good[at + 1 :]
    if kind == 1:
        return good[: chance.randrange(10, len(good))] + "…"
    if kind == 2:
        return good.replace("nest_live", "nest_dev").replace("nest_test", "nest_dev")
    if kind == 3:
        return good.swapcase()
    if kind == 4:
        return good[:10] + "-" + good[11:]
    return "nest_live_" + "".join(chance.choices(BASE62, k=60))


def noise(chance, count):
    """Text such as logs, code and dumps hold."""
    words = [base62(chance.getrandbits(40), chance.randrange(1, 8)) for _ in range(2_000)]
    words += ["nest_", "nest", "live_", "key", "Bearer", "api_key=", "sk-", "{", "}", '"', "\n", "\n", "\t", "é", "☾"]
    text = " ".join(chance.choices(words, k=count // 5))
    return text.encode()[:count]


def write(path, keys, size, chance):
    """Writes the text, and gives the lines at which the keys stand, by their last four and prefix."""
    part = noise(chance, 4_000_000)
    pieces = [(it, True) for it in keys] + [(decoy(chance), False) for _ in keys]
    chance.shuffle(pieces)
    gap = max(size // len(pieces) - 70, 100)
    planted, line, written = [], 1, 0
    with open(path, "wb") as file:
        for text, is_key in pieces:
            begin = chance.randrange(len(part) - gap)
            filler = part[begin : begin + gap]
            line += filler.count(b"\n")
            # A letter before a key does not hide it; one after it would make it longer than a key is, and does not either.
            fence = chance.choice([b" ", b'"', b"=", b"\n", b"x"])
            line += fence.count(b"\n")
            if is_key:
                planted.append((line, text))
            chunk = filler + fence + text.encode() + chance.choice([b" ", b'"', b"\n", b"z"])
            line += chunk[-1:].count(b"\n")
            written += file.write(chunk)
    return planted, written


def by_pattern(path):
    found, kept = 0, b""
    with open(path, "rb") as file:
        while part := file.read(64 << 20):
            text = kept + part
            end = 0
            for match in PATTERN.finditer(text):
                body = match[0].decode()
                if checksum(body[:-6]) == body[-6:]:
                    found += 1
                    end = match.end()
            kept = text[max(end, len(text) - 69) :]
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("nest")
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=1_001_000_000)
    parser.add_argument("--results")
    args = parser.parse_args()
    chance = random.Random(62)
    keys = [key(chance) for _ in range(args.keys)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "text")
        planted, size = write(path, keys, args.bytes, chance)
        began = time.monotonic()
        ran = subprocess.run([args.nest, "keys", "scan", "--json", path], capture_output=True, text=True)
        seconds = time.monotonic() - began
        said = json.loads(ran.stdout)
        expected = sorted((line, it[:14], it[-4:]) for line, it in planted)
        found = sorted((it["line"], it["prefix"], it["last_four"]) for it in said["found"])
        missed, false = len(set(expected) - set(found)), len(set(found) - set(expected))
        assert said["bytes"] == size, (said["bytes"], size)
        report = {
            "bytes": size, "planted": len(planted), "decoys": len(planted), "found": len(found), "missed": missed,
            "false": false, "exit_code": ran.returncode, "scan_s": round(seconds, 1), "by_pattern": by_pattern(path),
        }
    print(json.dumps(report))
    if args.results:
        day = datetime.date.today().isoformat()
        with open(args.results, "a") as file:
            file.write(f"| {day} | {size:,} | {len(planted):,} | {len(planted):,} | {len(found):,} | {missed} | {false} | {report['by_pattern']:,} | {seconds:.1f} s |\n")
    wrong = missed or false or ran.returncode != 1 or report["by_pattern"] != len(planted)
    raise SystemExit(1 if wrong else 0)


main()
