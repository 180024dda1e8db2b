"""The gRPC reference: every service, method, message and enum of the protos, with its comment."""

from collections.abc import Iterator
from typing import Any

from google.api import annotations_pb2
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import DescriptorProto, MethodDescriptorProto
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from mamie_rosa.options.v1 import options_pb2

from scripts.openapi.protos import Protos
from scripts.openapi.rules import rules_of
from scripts.protos.methods import DEFAULT_TIMEOUT_SECONDS, PACKAGE


def grpc_reference(protos: Protos) -> dict[str, Any]:
    """Return services, messages and enums of our packages, by their full names."""
    return {
        "services": {name: _service(name, protos) for name in _ours(protos.services)},
        "messages": {
            name: _message(name, protos.messages[name], protos)
            for name in _ours(protos.messages)
            if not protos.messages[name].options.map_entry
        },
        "enums": {name: _enum(name, protos) for name in _ours(protos.enums)},
    }


def _ours(names: dict[str, Any]) -> Iterator[str]:
    return (name for name in sorted(names) if name.startswith(f"{PACKAGE}."))


def _service(name: str, protos: Protos) -> dict[str, Any]:
    methods = protos.services[name].method
    return {
        "comment": protos.comment(name),
        "methods": [_method(f"{name}.{method.name}", method, protos) for method in methods],
    }


def _method(name: str, method: MethodDescriptorProto, protos: Protos) -> dict[str, Any]:
    options = method.options.Extensions
    rule = options[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return {
        "name": method.name,
        "comment": protos.comment(name),
        "request": method.input_type.removeprefix("."),
        "response": method.output_type.removeprefix("."),
        "streams": method.server_streaming,
        "rest": f"{verb.upper()} {getattr(rule, verb)}" if verb else "",
        "access": options_pb2.Access.Name(options[options_pb2.access]) if verb else "",
        "timeout_seconds": options[options_pb2.timeout_seconds] or DEFAULT_TIMEOUT_SECONDS,
    }


def _message(name: str, message: DescriptorProto, protos: Protos) -> dict[str, Any]:
    fields = [
        {
            "name": field.name,
            "number": field.number,
            "type": _type(field, protos),
            "comment": protos.comment(f"{name}.{field.name}"),
            "rules": text_format.MessageToString(rules_of(field), as_one_line=True).strip(),
        }
        for field in message.field
    ]
    return {"comment": protos.comment(name), "fields": fields}


def _type(field: Field, protos: Protos) -> str:
    """Return a type as protos write it, such as "repeated Order" or "optional bool"."""
    name = field.type_name.removeprefix(".")
    entry = protos.messages.get(name)
    if entry is not None and entry.options.map_entry:
        key, value = entry.field
        return f"map<{_type(key, protos)}, {_type(value, protos)}>"
    plain = name or Field.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == Field.LABEL_REPEATED:
        return f"repeated {plain}"
    return f"optional {plain}" if field.proto3_optional else plain


def _enum(name: str, protos: Protos) -> dict[str, Any]:
    values = [
        {
            "name": value.name,
            "number": value.number,
            "comment": protos.comment(f"{name}.{value.name}"),
        }
        for value in protos.enums[name].value
    ]
    return {"comment": protos.comment(name), "values": values}
