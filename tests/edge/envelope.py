"""The one JSON shape of all errors."""

import re
from typing import Any

import httpx

INTERNALS = re.compile(r"\d+\.\d+\.\d+\.\d+|upstream|cluster|envoy|jwt|rpc |reset|connect", re.I)
"""Internals of the shop, which no error may name."""


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Return (HTTP status, reason) of an error, after checking everything else of it."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    error = answer.json()
    assert set(error) == {"code", "message", "details"}
    assert isinstance(error["code"], int)
    assert error["message"] and not INTERNALS.search(error["message"]), error["message"]
    return answer.status_code, _reason(error["details"], answer.headers["x-request-id"])


def _reason(details: list[dict[str, Any]], request_id: str) -> str:
    info = details[0]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert info["domain"] == "mamie-rosa"
    assert info.get("metadata", {}).get("requestId", request_id) == request_id
    reason: str = info["reason"]
    return reason
