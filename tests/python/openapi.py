"""The document by OpenAPI's own schema, and each schema in it by JSON Schema's."""

import json
import os

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

with open(os.environ["OPENAPI"], encoding="utf-8") as file:
    document = json.load(file)
OpenAPIV31SpecValidator(document).validate()
for schema in document["components"]["schemas"].values():
    Draft202012Validator.check_schema(schema)
print("valid")
