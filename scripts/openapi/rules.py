"""Rules of protovalidate as keywords of JSON Schema.

A schema promises: what it accepts, the service accepts. So what the services do to every text
before they validate it (services/common/rpc/normalization.py) is in the patterns: a text must have
a character that is no blank where the rule asks for one, and none may be NUL.
"""

import re
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

Schema = dict[str, Any]
"""A JSON Schema (2020-12)."""

NO_NUL = r"^[^\u0000]*$"
NOT_BLANK = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
EMAIL = (
    r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$"
)
"""What protovalidate means by an email: that of HTML."""
_UNRESERVED = r"[A-Za-z0-9._~!$&'()*+,;=-]"
_CHARACTER = r"([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_SEGMENT = r"([A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-Fa-f]{2})"
URI_REFERENCE = (
    rf"^(([A-Za-z][A-Za-z0-9+.-]*:)?//({_UNRESERVED}+@)?{_UNRESERVED}*(:[0-9]{{1,5}})?(/{_CHARACTER}*)*"
    rf"|[A-Za-z][A-Za-z0-9+.-]*:(/?{_CHARACTER}+(/{_CHARACTER}*)*|/)?"
    rf"|/({_CHARACTER}+(/{_CHARACTER}*)*)?|{_SEGMENT}+(/{_CHARACTER}*)*)?"
    rf"(\?({_CHARACTER}|[/?])*)?(#({_CHARACTER}|[/?])*)?$"
)
"""RFC 3986 without user passwords, literal IPv6 addresses and escapes in host names."""
INT32 = (-(2**31), 2**31 - 1)


def rules_of(field: Field) -> validate_pb2.FieldRules:
    """Return the rules that the proto declares for a field."""
    rules: validate_pb2.FieldRules = field.options.Extensions[validate_pb2.field]
    return rules


def text(rules: validate_pb2.FieldRules, *, secret: bool) -> Schema:
    """Return the schema of a string in a request; blanks around a secret count."""
    given = rules.string
    schema: Schema = {"type": "string"}
    if secret:
        schema["format"] = "password"
    if given.min_len:
        schema["minLength"] = given.min_len
    if given.max_len:
        schema["maxLength"] = given.max_len
    if list(getattr(given, "in")):
        schema["enum"] = list(getattr(given, "in"))
    elif given.email:
        schema |= {"format": "email", "pattern": _both(EMAIL, given.pattern)}
    elif given.uri_ref:
        schema |= {"format": "uri-reference", "pattern": URI_REFERENCE}
    elif given.pattern:
        schema["pattern"] = given.pattern
    else:
        schema["pattern"] = NOT_BLANK if given.min_len and not secret else NO_NUL
    return _or_empty(schema) if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE else schema


def _both(first: str, second: str) -> str:
    """Return a pattern for texts that match two."""
    return rf"^(?=.*{second}){first.removeprefix('^')}" if second else first


def _or_empty(schema: Schema) -> Schema:
    if "enum" in schema:
        return schema | {"enum": [*schema["enum"], ""]}
    inner = schema["pattern"].removeprefix("^").removesuffix("$")
    return schema | {"pattern": f"^({inner})?$"}


def integer(rules: validate_pb2.FieldRules) -> Schema:
    """Return the schema of an int32 in a request."""
    given = rules.int32
    schema: Schema = {
        "type": "integer",
        "format": "int32",
        "minimum": given.gte if given.HasField("gte") else INT32[0],
        "maximum": given.lte if given.HasField("lte") else INT32[1],
    }
    if excluded := list(given.not_in):
        schema["not"] = {"enum": excluded}
    return schema


def choices(rules: validate_pb2.FieldRules) -> list[int]:
    """Return the numbers that an enum field allows; [] means all that are declared."""
    return list(getattr(rules.enum, "in"))


def items(rules: validate_pb2.FieldRules, item: Schema) -> Schema:
    """Return the schema of a list in a request."""
    given = rules.repeated
    schema: Schema = {"type": "array", "items": item}
    if given.min_items:
        schema["minItems"] = given.min_items
    # Longer lists are rejected whatever their rules are (services/common/rpc/validation.py).
    return schema | {"maxItems": given.max_items or 1000}


def needs_value(field: Field, schema: Schema) -> bool:
    """Return whether a request must have a field: leaving it out means its zero value."""
    rules = rules_of(field)
    if rules.required or schema.get("minItems"):
        return True
    if field.label == Field.LABEL_REPEATED or field.proto3_optional:
        return False
    match schema.get("type"):
        case "string":
            return not accepts_empty(schema)
        case "integer":
            zero_fits = schema["minimum"] <= 0 <= schema["maximum"]
            return not zero_fits or 0 in schema.get("not", {}).get("enum", [])
    return bool(choices(rules)) and 0 not in choices(rules)


def accepts_empty(schema: Schema) -> bool:
    """Return whether the schema of a string accepts ""."""
    if schema.get("minLength") or "" not in schema.get("enum", [""]):
        return False
    return re.search(schema.get("pattern", ""), "") is not None
