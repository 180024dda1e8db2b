"""What the shop understands of a value: the leniencies that the document describes.

A client may send a number as a string, null for a field that it leaves out, and blanks around a
text. What is left without these has to fit the schema, or the request is rejected.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import jsonschema

Schema = Mapping[str, Any]
NUMBER = re.compile(r"-?[0-9]{1,15}(\.0+)?")


class Judge:
    """Says what the document promises about values."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def accepts(self, schema: Schema, value: Any) -> bool:
        """Return whether a schema accepts a value, and its `x-rules` too."""
        whole = {**schema, "components": self._document["components"]}
        is_valid: bool = jsonschema.Draft202012Validator(whole).is_valid(value)
        return is_valid and all(
            RULES[rule["id"]](value) for rule in self.resolve(schema).get("x-rules", ())
        )

    def resolve(self, schema: Schema) -> Schema:
        """Return what a reference means."""
        name = schema.get("$ref", "").rpartition("/")[2]
        found: Schema = self._document["components"]["schemas"][name] if name else schema
        return found

    def canonical(self, schema: Schema, value: Any) -> Any:
        """Return a value without what the shop is lenient about."""
        described = self.resolve(schema)
        match described.get("type"), value:
            case "object", dict():
                known = described["properties"]
                return {
                    name: self.canonical(known[name], part) if name in known else part
                    for name, part in value.items()
                    if part is not None or name not in known
                }
            case "array", list():
                found = [part for part in value if part is not None]
                return [self.canonical(described["items"], part) for part in found]
            case "integer", str() if NUMBER.fullmatch(value):
                return int(float(value))
            case "string", str():
                return canonical_text(described, value)
        return value


def canonical_text(schema: Schema, text: str) -> str:
    """Return a text as the services normalise it."""
    composed = unicodedata.normalize("NFC", text)
    return composed if schema.get("format") == "password" else composed.strip()


def valid_until_after_valid_from(promotion: Mapping[str, str]) -> bool:
    """Return whether a promotion ends after it begins; both are in UTC in these tests."""
    return promotion["validUntil"] > promotion["validFrom"]


RULES = {"valid_until_after_valid_from": valid_until_after_valid_from}
"""The rules that JSON Schema cannot express, by their ids in the protos."""
