"""Request validation with the field rules of the protos (protovalidate).

The cost is bounded, whatever is sent: lists are counted before their items are validated, and
a refusal lists the first MAX_VIOLATIONS violations.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from buf.validate import validate_pb2
from google.protobuf import descriptor, message
from google.rpc.error_details_pb2 import BadRequest
from protovalidate import Violation, collect_violations

from services.common.errors import InvalidArgumentError
from services.common.rpc.status import cut

MAX_VIOLATIONS = 20
MAX_VIOLATION_BYTES = 100
"""Of the path of a field, and of the description of what is wrong with it, each."""
DEFAULT_MAX_ITEMS = 1_000
"""For lists and maps without a rule `max_items`."""


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
    _reject(_long_lists(request, ""))
    _reject(_violations(request))


def _reject(violations: Iterable[BadRequest.FieldViolation]) -> None:
    """Raise InvalidFieldsError with the first violations, if there are any."""
    if found := list(islice(violations, MAX_VIOLATIONS)):
        raise InvalidFieldsError(BadRequest(field_violations=found))


def _violations(request: message.Message) -> Iterator[BadRequest.FieldViolation]:
    yield from _rule_violations(collect_violations(request))
    yield from _nul_violations(request)


class _Counted(NamedTuple):
    """A field to be counted: a list or a map, or a message with some inside."""

    field: descriptor.FieldDescriptor
    max_items: int | None
    """None for a single message."""
    has_lists: bool


def _long_lists(part: message.Message, path: str) -> Iterator[BadRequest.FieldViolation]:
    """Yield the lists and maps of a message that are too long; their items are not visited."""
    for field, most, has_lists in _counted(part.DESCRIPTOR):
        if most is not None and len(getattr(part, field.name)) > most:
            here = f"{path}.{field.json_name}"
            yield _field_violation(here, f"must contain no more than {most} item(s)")
        elif has_lists and (most is not None or part.HasField(field.name)):
            for suffix, element in _elements(field, getattr(part, field.name)):
                if isinstance(element, message.Message):
                    yield from _long_lists(element, f"{path}.{field.json_name}{suffix}")


@cache
def _counted(kind: descriptor.Descriptor) -> Sequence[_Counted]:
    """Return what is to be counted in a message; nothing in most requests."""
    fields = [
        _Counted(
            field,
            _max_items(field) if field.is_repeated else None,
            has_lists=_contains_lists(field.message_type, ()),
        )
        for field in kind.fields
    ]
    return [each for each in fields if each.max_items is not None or each.has_lists]


def _contains_lists(
    kind: descriptor.Descriptor | None, seen: tuple[descriptor.Descriptor, ...]
) -> bool:
    """Check whether a type of messages has lists, at any depth; types may contain themselves."""
    if kind is None or kind in seen:
        return False
    return any(
        field.is_repeated or _contains_lists(field.message_type, (*seen, kind))
        for field in kind.fields
    )


def _max_items(field: descriptor.FieldDescriptor) -> int:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return rules.repeated.max_items or rules.map.max_pairs or DEFAULT_MAX_ITEMS


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
    return BadRequest.FieldViolation(
        field=cut(path.removeprefix("."), MAX_VIOLATION_BYTES),
        description=cut(description, MAX_VIOLATION_BYTES),
    )


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
