"""The field rules that the protos declare (protovalidate), enforced."""

from collections.abc import Iterator, Sequence

from google.protobuf import message
from google.rpc import error_details_pb2
from protovalidate import Violation, collect_violations

from services.common.errors import InvalidArgumentError


class InvalidFieldsError(InvalidArgumentError):
    """The request breaks the rules of its fields.

    `bad_request` lists each field by the name that JSON clients use, such as
    "items[0].productId", with the rule it breaks.
    """

    reason = "INVALID_FIELDS"

    def __init__(self, bad_request: error_details_pb2.BadRequest) -> None:
        super().__init__("The request breaks the rules of its fields; see the details.")
        self.bad_request = bad_request


def validate(request: message.Message) -> None:
    """Raise InvalidFieldsError when a request breaks a rule that its proto declares."""
    if violations := collect_violations(request):
        raise InvalidFieldsError(_bad_request(violations))


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    return error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(
                field="".join(_path(violation)).lstrip("."), description=violation.proto.message
            )
            for violation in violations
        ]
    )


def _path(violation: Violation) -> Iterator[str]:
    for element in violation.proto.field.elements if violation.proto.field else ():
        yield "." + _camel_case(element.field_name)
        if element.subscript and element.subscript.field == "index":
            yield f"[{element.subscript.value}]"


def _camel_case(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)
