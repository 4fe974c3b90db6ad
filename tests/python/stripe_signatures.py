"""Signs each of CASES as the official Python library of Stripe does; prints a header a line."""

import json
import os

import stripe

for case in json.loads(os.environ["CASES"]):
    signed = f"{case['at']}.{case['payload']}"
    v1 = stripe.WebhookSignature._compute_signature(signed, case["secret"])
    header = f"t={case['at']},v1={v1},v0={'0' * 64}"
    # What it signs it takes itself, or the case is none.
    stripe.WebhookSignature.verify_header(case["payload"], header, case["secret"], tolerance=None)
    print(header)
