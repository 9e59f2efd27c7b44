"""Validates documents by a JSON Schema. Reads {"schema": ..., "documents": [...]}, writes the errors of each document."""

import json
import sys

from jsonschema import validators

given = json.load(sys.stdin)
validator = validators.validator_for(given["schema"])
validator.check_schema(given["schema"])
validator = validator(given["schema"])
found = [[f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)] for document in given["documents"]]
json.dump(found, sys.stdout)
