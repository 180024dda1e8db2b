"""Messages as schemas, by the JSON that Envoy reads and writes (proto3 JSON, camelCase names)."""

from collections.abc import Mapping

from google.protobuf.descriptor_pb2 import DescriptorProto
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from scripts.openapi import rules
from scripts.openapi.protos import Protos
from scripts.openapi.rules import Schema

TIMESTAMP = ".google.protobuf.Timestamp"
INSTANT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"
SCALARS: Mapping[int, Schema] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    Field.TYPE_INT64: {"type": "string", "format": "int64"},
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}
"""How proto3 JSON writes a scalar; a 64-bit integer is a string."""


class Schemas:
    """Collects the component schemas that operations refer to.

    Those of requests come after those of answers, and get them as `answers`: a message that is in
    both has a second schema, named ...Input, because an answer has every field and a request need
    not.
    """

    def __init__(self, protos: Protos, *, answers: "Schemas | None" = None) -> None:
        self._protos = protos
        self._requests = answers is not None
        self._taken = set(answers.components) if answers else set()
        self.components: dict[str, Schema] = {}

    def reference(self, name: str) -> Schema:
        """Return a reference to the schema of a message or enum, with all that it consists of."""
        component = component_name(name)
        if component in self._taken and name in self._protos.messages:
            component += "Input"
        if component not in self.components:
            self.components[component] = {}  # it may contain itself
            self.components[component] = self._of(name)
        return {"$ref": f"#/components/schemas/{component}"}

    def _of(self, name: str) -> Schema:
        if name in self._protos.enums:
            return self._enum(name)
        return self.message(name)

    def message(self, name: str, *, without: frozenset[str] = frozenset()) -> Schema:
        """Return the schema of a message, without the fields that the path has."""
        message = self._protos.messages[name]
        fields = [field for field in message.field if field.name not in without]
        properties = {field.json_name: self.field(name, field) for field in fields}
        required = [field.json_name for field in fields if self._is_required(field, message, name)]
        schema: Schema = {"type": "object", "description": self._protos.comment(name)}
        if required:
            schema["required"] = required
        schema["properties"] = properties
        if conditions := _conditions(message):
            schema["x-rules"] = conditions
        return schema

    def field(self, message: str, field: Field) -> Schema:
        """Return the schema of one field, with its comment."""
        return {
            **self._typed(field),
            "description": self._protos.comment(f"{message}.{field.name}"),
        }

    def _typed(self, field: Field) -> Schema:
        if (entry := self._map_entry(field)) is not None:
            return {"type": "object", "additionalProperties": self._single(entry.field[1])}
        if field.label != Field.LABEL_REPEATED:
            return self._single(field)
        if not self._requests:
            return {"type": "array", "items": self._single(field)}
        given = rules.rules_of(field)
        return rules.items(given, self._single(field, given.repeated.items))

    def _single(self, field: Field, given: rules.validate_pb2.FieldRules | None = None) -> Schema:
        """Return the schema of a value; in a request with its rules."""
        if field.type_name == TIMESTAMP:
            pattern = {"pattern": INSTANT} if self._requests else {}
            return {"type": "string", "format": "date-time", **pattern}
        if field.type == Field.TYPE_ENUM:
            return self._enum_value(field)
        if field.type == Field.TYPE_MESSAGE:
            return self.reference(field.type_name.removeprefix("."))
        if self._requests:
            found = given or rules.rules_of(field)
            if field.type == Field.TYPE_STRING:
                return rules.text(found, secret=field.options.debug_redact)
            if field.type == Field.TYPE_INT32:
                return rules.integer(found)
        return dict(SCALARS[field.type])

    def _enum_value(self, field: Field) -> Schema:
        name = field.type_name.removeprefix(".")
        if self._requests and (allowed := rules.choices(rules.rules_of(field))):
            values = self._protos.enums[name].value
            return {
                "type": "string",
                "enum": [value.name for value in values if value.number in allowed],
            }
        return self.reference(name)

    def _enum(self, name: str) -> Schema:
        values = [v for v in self._protos.enums[name].value if not v.name.endswith("_UNSPECIFIED")]
        meanings = [f"- `{v.name}`: {self._protos.comment(f'{name}.{v.name}')}" for v in values]
        text = "\n".join([self._protos.comment(name), "", *meanings])
        return {"type": "string", "enum": [value.name for value in values], "description": text}

    def _is_required(self, field: Field, message: DescriptorProto, name: str) -> bool:
        if self._requests:
            return rules.needs_value(field, self.field(name, field))
        # Envoy prints every field but messages and optional fields that are not set.
        is_message = field.type == Field.TYPE_MESSAGE and field.label != Field.LABEL_REPEATED
        return not is_message and not field.proto3_optional

    def _map_entry(self, field: Field) -> DescriptorProto | None:
        entry = self._protos.messages.get(field.type_name.removeprefix("."))
        return entry if entry is not None and entry.options.map_entry else None


def component_name(name: str) -> str:
    """Return the name of a component, such as "OrderPaymentStatus" of ...Order.PaymentStatus."""
    return "".join(part for part in name.split(".") if part[:1].isupper())


def _conditions(message: DescriptorProto) -> list[Schema]:
    """Return the rules of a whole message, which JSON Schema cannot express."""
    found = message.options.Extensions[rules.validate_pb2.message].cel
    return [{"id": rule.id, "message": rule.message} for rule in found]
