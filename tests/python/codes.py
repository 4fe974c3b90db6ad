"""One-time codes by pyotp: a line is a list of {secret, time_s, algorithm, digits}, the secret in base32 and the
algorithm one of SHA1, SHA256 and SHA512; it is answered with the list of their codes."""

import hashlib
import json
import sys

import pyotp

for line in sys.stdin:
    codes = []
    for it in json.loads(line):
        digest = getattr(hashlib, it["algorithm"].lower())
        codes.append(pyotp.TOTP(it["secret"], digits=it["digits"], digest=digest).at(it["time_s"]))
    print(json.dumps(codes), flush=True)
