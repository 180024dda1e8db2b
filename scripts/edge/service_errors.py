"""Turns envoy/service_errors.yaml into the table that envoy/upstream.lua reads."""

import base64
import json
from collections.abc import Mapping, Sequence

import grpc

from services.common.rpc import status


def lua_table(errors: Sequence[Mapping[str, str]]) -> str:
    """Return the table that upstream.lua completes errors with (service_errors.yaml)."""
    return "{\n" + "".join(map(_lua_row, errors)) + "}"


def _lua_row(error: Mapping[str, str]) -> str:
    code = grpc.StatusCode[error["code"]]
    info = status.error_info(error["reason"], {})
    complete = status.build_status(code, error["message"], info).SerializeToString()
    fields = {
        "status": str(grpc.StatusCode[error["status"]].value[0]),
        "when": error.get("when", ""),
        "code": str(code.value[0]),
        "message": error["message"],
        # gRPC's binary metadata: Base64, without padding.
        "details": base64.b64encode(complete).decode().rstrip("="),
    }
    row = ", ".join(f"{name} = {json.dumps(text)}" for name, text in fields.items())
    return f"  {{{row}}},\n"
