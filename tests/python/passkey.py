"""An authenticator, with the browser before it, that holds passkeys in memory and misbehaves when told to.

One line of JSON asks, one answers. The first says what it is: {"algorithms": [-7, -8], "synced": false}, in COSE's
numbers. Then each is a ceremony: {"create": OPTIONS} or {"get": OPTIONS}, with "origin", the page's, and "fault", what
is to go wrong, or null. OPTIONS are those that `PublicKeyCredential.parse...FromJSON` takes. The answer is
{"credential": WHAT}, as the browser's `toJSON` gives it, or {"error": NAME}, by the name of the browser's exception.
"""

import base64
import hashlib
import json
import os
import sys
from urllib.parse import urlsplit

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

CREATE, GET = "webauthn.create", "webauthn.get"
ES256, EDDSA, ES384 = -7, -8, -35
PRESENT, VERIFIED, BACKUP_ELIGIBLE, BACKED_UP, ATTESTED = 0x01, 0x04, 0x08, 0x10, 0x40


class Refused(Exception):
    """The ceremony ends as it does in a browser, with this exception's name."""


class Passkey:
    def __init__(self, algorithm, rp_id, user_handle):
        self.algorithm, self.rp_id, self.user_handle = algorithm, rp_id, user_handle
        self.id = os.urandom(32)
        self.private = private_key(algorithm)
        # Not zero, which would say that nothing is counted.
        self.sign_count = 1

    def cose(self):
        if self.algorithm == EDDSA:
            raw = self.private.public_key().public_bytes_raw()
            return {1: 1, 3: EDDSA, -1: 6, -2: raw}
        curve, size = (1, 32) if self.algorithm == ES256 else (2, 48)
        point = self.private.public_key().public_numbers()
        x, y = point.x.to_bytes(size, "big"), point.y.to_bytes(size, "big")
        return {1: 2, 3: self.algorithm, -1: curve, -2: x, -3: y}

    def spki(self):
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.private.public_key().public_bytes(serialization.Encoding.DER, form)


def private_key(algorithm):
    if algorithm == EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if algorithm == ES256 else ec.SECP384R1())


def sign(key, data):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


class Authenticator:
    def __init__(self, algorithms, synced):
        self.algorithms, self.synced = algorithms, synced
        self.passkeys = {}

    def create(self, options, origin, fault):
        rp_id = allowed_rp_id(options["rp"].get("id"), origin)
        user_handle = decoded(options["user"]["id"])
        if not 1 <= len(user_handle) <= 64:
            raise Refused("TypeError")
        excluded = (decoded(it["id"]) for it in options.get("excludeCredentials", []))
        if any(it in self.passkeys and self.passkeys[it].rp_id == rp_id for it in excluded):
            raise Refused("InvalidStateError")
        offered = [it["alg"] for it in options["pubKeyCredParams"] if it["type"] == "public-key"]
        algorithm = next((it for it in offered if it in self.algorithms), None)
        if algorithm is None:
            raise Refused("NotSupportedError")
        if fault == "unoffered_algorithm":
            algorithm = ES384
        passkey = Passkey(algorithm, rp_id, user_handle)
        self.passkeys[passkey.id] = passkey

        key = cbor2.dumps(passkey.cose(), canonical=True)
        attested = bytes(16) + len(passkey.id).to_bytes(2, "big") + passkey.id + key
        data = self.data(passkey, ATTESTED, fault) + attested + excess(fault)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data}, canonical=True)
        response = {
            "clientDataJSON": encoded(client_data(CREATE, options, origin, fault)),
            "attestationObject": encoded(attestation),
            "authenticatorData": encoded(data),
            "publicKey": encoded(passkey.spki()),
            "publicKeyAlgorithm": algorithm,
            "transports": ["hybrid", "internal"] if self.synced else ["usb"],
        }
        # Only a key that says whose it is can be found without a list of ids; all of these do.
        results = {"credProps": {"rk": True}} if options.get("extensions", {}).get("credProps") else {}
        return self.credential(passkey, response, results, fault)

    def get(self, options, origin, fault):
        rp_id = allowed_rp_id(options.get("rpId"), origin)
        own = [it for it in self.passkeys.values() if it.rp_id == rp_id]
        allowed = [decoded(it["id"]) for it in options.get("allowCredentials", [])]
        own = [it for it in own if not allowed or it.id in allowed]
        if not own:
            raise Refused("NotAllowedError")
        passkey = own[-1]
        if fault != "old_sign_count":
            passkey.sign_count += 1

        client = client_data(GET, options, origin, fault)
        data = self.data(passkey, 0, fault) + excess(fault)
        key = private_key(passkey.algorithm) if fault == "other_key" else passkey.private
        signed = data + hashlib.sha256(client).digest()
        signature = sign(key, signed + b"!" if fault == "other_data" else signed)
        handle = os.urandom(16) if fault == "other_user_handle" else passkey.user_handle
        response = {
            "clientDataJSON": encoded(client),
            "authenticatorData": encoded(data),
            "signature": encoded(signature),
            "userHandle": encoded(handle),
        }
        return self.credential(passkey, response, {}, fault)

    def data(self, passkey, flags, fault):
        """The authenticator's data, up to what a new key adds to it."""
        flags |= PRESENT | VERIFIED | (BACKUP_ELIGIBLE | BACKED_UP if self.synced else 0)
        if fault == "no_user_presence":
            flags &= ~(PRESENT | VERIFIED)
        if fault == "no_user_verification":
            flags &= ~VERIFIED
        if fault == "impossible_backup":
            flags = flags & ~BACKUP_ELIGIBLE | BACKED_UP
        rp_id = "elsewhere.example" if fault == "wrong_rp_id" else passkey.rp_id
        # Devices that share a key cannot count together.
        count = 0 if self.synced else passkey.sign_count
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + count.to_bytes(4, "big")

    def credential(self, passkey, response, results, fault):
        return {
            "id": encoded(os.urandom(32) if fault == "mismatched_id" else passkey.id),
            "rawId": encoded(passkey.id),
            "type": "public-key",
            "authenticatorAttachment": "platform" if self.synced else "cross-platform",
            "clientExtensionResults": results,
            "response": response,
        }


def allowed_rp_id(rp_id, origin):
    """A browser lets a page name its own host, or a domain above it; the page is secure, and its host no address."""
    parts = urlsplit(origin)
    host = parts.hostname
    secure = parts.scheme == "https" or host == "localhost"
    named = host.rpartition(".")[2].isalpha() and ":" not in host
    above = rp_id is not None and "." in rp_id and host.endswith(f".{rp_id}")
    if secure and named and (rp_id is None or rp_id == host or above):
        return rp_id or host
    raise Refused("SecurityError")


def client_data(kind, options, origin, fault):
    challenge = decoded(options["challenge"])
    other = {CREATE: GET, GET: CREATE}
    data = {
        "type": other[kind] if fault == "wrong_type" else kind,
        "challenge": encoded(os.urandom(32) if fault == "wrong_challenge" else challenge),
        "origin": "https://elsewhere.example" if fault == "wrong_origin" else origin,
        "crossOrigin": fault == "cross_origin",
    }
    return json.dumps(data, separators=(",", ":")).encode()


def excess(fault):
    return b"!" if fault == "trailing_bytes" else b""


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encoded(data) != text:
        raise Refused("EncodingError")
    return data


def main():
    authenticator = Authenticator(**json.loads(sys.stdin.readline()))
    print("{}", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        ceremony, options = next((it, order[it]) for it in ("create", "get") if it in order)
        try:
            answer = {"credential": getattr(authenticator, ceremony)(options, order["origin"], order["fault"])}
        except Refused as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)


main()
