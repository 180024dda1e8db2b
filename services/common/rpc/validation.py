"""The field rules that the protos declare (protovalidate), enforced."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor, message
from google.rpc.error_details_pb2 import BadRequest
from protovalidate import Violation, collect_violations

from services.common.errors import InvalidArgumentError


class InvalidFieldsError(InvalidArgumentError):
    """The request breaks the rules of its fields.

    `bad_request` lists each field by the name that JSON clients use, such as
    "items[0].productId", with the rule it breaks.
    """

    reason = "INVALID_FIELDS"

    def __init__(self, bad_request: BadRequest) -> None:
        super().__init__("The request breaks the rules of its fields; see the details.")
        self.bad_request = bad_request


def validate(request: message.Message) -> None:
    """Raise InvalidFieldsError when a request breaks a rule that its proto declares.

    No string may hold a NUL, whatever its proto says: PostgreSQL cannot store it.
    """
    wrong = [*_broken_rules(collect_violations(request)), *_nul_strings(request)]
    if wrong:
        raise InvalidFieldsError(BadRequest(field_violations=wrong))


def _broken_rules(violations: Sequence[Violation]) -> Iterator[BadRequest.FieldViolation]:
    for violation in violations:
        yield _field_violation("".join(_path(violation)), violation.proto.message)


def _nul_strings(request: message.Message) -> Iterator[BadRequest.FieldViolation]:
    # Most requests have no zero byte anywhere: one look at the bytes is all that they cost.
    if b"\0" in request.SerializeToString():
        for path, text in _strings(request, ""):
            if "\0" in text:
                yield _field_violation(path, "must not contain NUL characters")


def _field_violation(path: str, description: str) -> BadRequest.FieldViolation:
    return BadRequest.FieldViolation(field=path.removeprefix("."), description=description)


def _strings(part: message.Message, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every string in a message, the keys of maps too."""
    for field, value in part.ListFields():
        here = f"{path}.{field.json_name}"
        for suffix, element in _elements(field, value):
            if isinstance(element, str):
                yield here + suffix, element
            elif isinstance(element, message.Message):
                yield from _strings(element, here + suffix)


def _elements(field: descriptor.FieldDescriptor, value: Any) -> Iterable[tuple[str, Any]]:
    """Return what a field holds, each with its place in it; a map's keys are its too."""
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
