"""Compare the OpenAPI document with that of the main branch: what clients rely on must stay.

    python -m scripts.openapi.breaking

A change breaks a client when a call that it makes is no longer accepted, or when an answer lacks
what the document promised.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.openapi.schema_changes import Changes
from scripts.paths import ROOT
from scripts.protos.breaking import BASES

DOCUMENT = "services/storefront/reference/openapi.json"
ACCESSES = ("ANYONE", "SIGNED_IN", "ADMIN")
"""From what anyone may do to what few may."""


def main() -> int:
    """Return 0 when no client of the main branch breaks."""
    before = next((found for base in BASES if (found := _show(base))), None)
    if before is None:
        print("openapi: the main branch has no document to compare with", file=sys.stderr)
        return 0
    after = json.loads((ROOT / DOCUMENT).read_text())
    problems = list(breaking_changes(json.loads(before), after))
    for problem in problems:
        print(f"openapi: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _show(revision: str) -> str | None:
    command = ["git", "show", f"{revision}:{DOCUMENT}"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return shown.stdout if shown.returncode == 0 else None


def breaking_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield every change that breaks a client, in a sentence that names the operation."""
    changes = Changes(before, after)
    for path, methods in before["paths"].items():
        for verb, operation in methods.items():
            where = f"{verb.upper()} {path}"
            if found := after["paths"].get(path, {}).get(verb):
                yield from _operation(where, operation, found, changes)
            else:
                yield f"{where} was removed"


def _operation(
    where: str, before: Mapping[str, Any], after: Mapping[str, Any], changes: Changes
) -> Iterator[str]:
    if ACCESSES.index(after["x-access"]) > ACCESSES.index(before["x-access"]):
        yield f"{where} needs {after['x-access']} now"
    yield from _parameters(where, before, after, changes)
    yield from _body(where, before, after, changes)
    for status, response in before["responses"].items():
        old, new = changes.resolve(response, after["responses"].get(status))
        yield from _response(f"{where} {status}", old, new, changes)


def _parameters(
    where: str, before: Mapping[str, Any], after: Mapping[str, Any], changes: Changes
) -> Iterator[str]:
    old, new = (
        {each["name"]: each for each in map(resolve, operation.get("parameters", ()))}
        for operation, resolve in ((before, changes.old), (after, changes.new))
    )
    for name, parameter in old.items():
        if name not in new:
            yield f"{where}: the parameter {name} was removed"
        else:
            schemas = parameter["schema"], new[name]["schema"]
            yield from changes.narrowed(f"{where}: {name}", *schemas)
    for name, parameter in new.items():
        if parameter.get("required") and not old.get(name, {}).get("required"):
            yield f"{where}: the parameter {name} is required now"


def _body(
    where: str, before: Mapping[str, Any], after: Mapping[str, Any], changes: Changes
) -> Iterator[str]:
    if "requestBody" in before and "requestBody" not in after:
        yield f"{where} has no body now"
    elif "requestBody" in after:
        old, new = (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for operation in (before, after)
        )
        yield from changes.narrowed(f"{where}: body", old.get("schema", {}), new["schema"])


def _response(
    where: str, before: Mapping[str, Any], after: Mapping[str, Any] | None, changes: Changes
) -> Iterator[str]:
    if after is None:
        yield f"{where} was removed"
        return
    for reason in sorted(set(before.get("x-reasons", ())) - set(after.get("x-reasons", ()))):
        yield f"{where}: the reason {reason} was removed"
    for media_type, content in before.get("content", {}).items():
        if media_type not in after.get("content", {}):
            yield f"{where} is not answered as {media_type} now"
        else:
            schemas = content["schema"], after["content"][media_type]["schema"]
            yield from changes.weakened(where, *schemas)


if __name__ == "__main__":
    raise SystemExit(main())
