"""Request validation with the field rules of the protos (protovalidate)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor, message
from google.rpc.error_details_pb2 import BadRequest
from protovalidate import Violation, collect_violations

from services.common.errors import InvalidArgumentError


class InvalidFieldsError(InvalidArgumentError):
    """The request violates the rules of its fields.

    `bad_request` lists each field by its JSON name, such as "items[0].productId", with the
    violated rule.
    """

    reason = "INVALID_FIELDS"

    def __init__(self, bad_request: BadRequest) -> None:
        super().__init__("The request breaks the rules of its fields; see the details.")
        self.bad_request = bad_request


def validate(request: message.Message) -> None:
    """Raise InvalidFieldsError when a request violates a rule of its proto.

    In addition no string may contain a NUL, which PostgreSQL cannot store.
    """
    found = [*_rule_violations(collect_violations(request)), *_nul_violations(request)]
    if found:
        raise InvalidFieldsError(BadRequest(field_violations=found))


def _rule_violations(violations: Sequence[Violation]) -> Iterator[BadRequest.FieldViolation]:
    for violation in violations:
        yield _field_violation("".join(_path(violation)), violation.proto.message)


def _nul_violations(request: message.Message) -> Iterator[BadRequest.FieldViolation]:
    # Most requests have no zero byte at all; then one search of the bytes is enough.
    if b"\0" in request.SerializeToString():
        for path, text in _strings(request, ""):
            if "\0" in text:
                yield _field_violation(path, "must not contain NUL characters")


def _field_violation(path: str, description: str) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(field=path.removeprefix("."), description=description)


def _strings(part: message.Message, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every string in a message, including map keys."""
    for field, value in part.ListFields():
        here = f"{path}.{field.json_name}"
        for suffix, element in _elements(field, value):
            if isinstance(element, str):
                yield here + suffix, element
            elif isinstance(element, message.Message):
                yield from _strings(element, here + suffix)


def _elements(field: descriptor.FieldDescriptor, value: Any) -> Iterable[tuple[str, Any]]:
    """List the values of a field, each with its index or key; map keys are values too."""
    if not field.is_repeated:
        return [("", value)]
    if isinstance(value, Mapping):
        keys = [("", key) for key in value]
        return [*keys, *((f"[{key}]", element) for key, element in value.items())]
    return [(f"[{index}]", element) for index, element in enumerate(value)]


def _path(violation: Violation) -> Iterator[str]:
    for element in violation.proto.field.elements if violation.proto.field else ():
        yield "." + _camel_case(element.field_name)
        if element.subscript and element.subscript.field == "index":
            yield f"[{element.subscript.value}]"


def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
