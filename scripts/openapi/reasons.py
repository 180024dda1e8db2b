"""The reasons of errors, with status and meaning, from the tables of docs/errors.md and edge.md.

The documents are compared with the error classes and with the edge's table by tests, so what they
say is what is answered.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.paths import ROOT

ANY_SERVICE = "any service"
EDGE = "edge"
IN_EVERY_REQUEST = (
    "MALFORMED_REQUEST",
    "HEADERS_TOO_LARGE",
    "RATE_LIMITED",
    "OVERLOADED",
    "INTERNAL",
    "SERVICE_UNAVAILABLE",
    "KEYS_UNAVAILABLE",
    "STORE_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
)
OF_TOKENS = ("NOT_SIGNED_IN", "TOKEN_EXPIRED", "TOKEN_INVALID")
OF_FIELDS = ("INVALID_FIELDS",)
OF_BODIES = ("BODY_TOO_LARGE", "REQUEST_TIMEOUT")
OF_ADMINISTRATORS = ("ADMIN_ONLY",)


class UnknownReasonError(KeyError):
    """A proto names a reason that no document explains."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One reason of a service; `section` is the service, ANY_SERVICE or EDGE."""

    section: str
    name: str
    status: int
    code: str
    metadata: tuple[str, ...]
    meaning: str


class Reasons:
    """All reasons that REST clients get."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        self.all = tuple(reasons)
        self._found = {(each.section, each.name): each for each in reasons}

    def find(self, service: str, name: str) -> Reason:
        """Return a reason as a service answers it; UnknownReasonError when it is not explained."""
        for section in (service, ANY_SERVICE, EDGE):
            if found := self._found.get((section, name)):
                return found
        raise UnknownReasonError(f"{name} of {service} is not in docs/errors.md")


def read_reasons(docs: Path = ROOT / "docs") -> Reasons:
    """Read the tables of both documents."""
    services = (docs / "errors.md").read_text().split("## Reasons of the services", 1)[1]
    edge = (docs / "edge.md").read_text().split("## Errors of the edge", 1)[1]
    return Reasons([*_of_services(services.split("\n## ", 1)[0]), *_of_edge(edge)])


def _of_services(text: str) -> Iterator[Reason]:
    section = ""
    for row in _rows(text):
        if title := re.fullmatch(r"\*\*(.+)\*\*", row[0]):
            section = title[1]
        elif name := re.fullmatch(r"`([A-Z_]+)`", row[0]):
            yield Reason(
                section=section,
                name=name[1],
                status=int(row[1]),
                code=row[2],
                metadata=tuple(re.findall(r"`(\w+)`", row[3])),
                meaning=row[4],
            )


def _of_edge(text: str) -> Iterator[Reason]:
    for row in _rows(text):
        if len(row) == 4 and (name := re.fullmatch(r"`([A-Z_]+)`", row[2])):
            first = int(row[0].split(",")[0])
            yield Reason(
                section=EDGE, name=name[1], status=first, code=row[1], metadata=(), meaning=row[3]
            )


def _rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]
