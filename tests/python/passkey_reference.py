"""A relying party for passkeys that others wrote: py_webauthn, asked line by line in JSON.

{"ask_create": [ALGORITHM, ...]} and {"ask_get": null} are answered with options; {"check_create": CREDENTIAL} and
{"check_get": CREDENTIAL} with {"accepted": FACTS} or {"refused": WHY}, by the options that were asked for last.
"""

import json
import sys

import webauthn
from webauthn.helpers import options_to_json, structs
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException

RP_ID, ORIGIN = "nest.example", "https://console.nest.example"


class RelyingParty:
    def ask_create(self, algorithms):
        self.algorithms = [COSEAlgorithmIdentifier(it) for it in algorithms]
        options = webauthn.generate_registration_options(
            rp_id=RP_ID, rp_name="Nest", user_name="ann@example.com", supported_pub_key_algs=self.algorithms
        )
        self.challenge = options.challenge
        return json.loads(options_to_json(options))

    def check_create(self, credential):
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=self.challenge,
            expected_rp_id=RP_ID,
            expected_origin=ORIGIN,
            require_user_verification=True,
            supported_pub_key_algs=self.algorithms,
        )
        self.id, self.key, self.count = verified.credential_id, verified.credential_public_key, verified.sign_count
        return {"sign_count": self.count, "device": verified.credential_device_type.value}

    def ask_get(self, _):
        options = webauthn.generate_authentication_options(
            rp_id=RP_ID,
            allow_credentials=[structs.PublicKeyCredentialDescriptor(id=self.id)],
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        )
        self.challenge = options.challenge
        return json.loads(options_to_json(options))

    def check_get(self, credential):
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=self.challenge,
            expected_rp_id=RP_ID,
            expected_origin=ORIGIN,
            credential_public_key=self.key,
            credential_current_sign_count=self.count,
            require_user_verification=True,
        )
        self.count = verified.new_sign_count
        return {"sign_count": self.count, "device": verified.credential_device_type.value}


party = RelyingParty()
for line in sys.stdin:
    ((order, what),) = json.loads(line).items()
    try:
        answer = getattr(party, order)(what)
        print(json.dumps({"accepted": answer} if order.startswith("check") else answer), flush=True)
    except WebAuthnException as error:
        print(json.dumps({"refused": str(error)}), flush=True)
