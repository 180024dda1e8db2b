"""What a log or a span must never hold: persons, their passwords, and what signs them in."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.traces.store import FILE, MAX_TRACES, TraceReader
from tests.support.shop import ADDRESS, PASSWORD

PRIVATE: Mapping[str, re.Pattern[str]] = {
    "an email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*[a-z]"),
    "a password hash": re.compile(r"\$argon2"),
    "a password": re.compile(re.escape(PASSWORD)),
    "a token": re.compile(r"\beyJ[\w.-]{8,}"),
    "a private key": re.compile(r"PRIVATE KEY"),
    "a name": re.compile(rf"\b(?:{ADDRESS['recipient']}|Alice|Martin)\b"),
    "an address": re.compile(re.escape(ADDRESS["line1"])),
    "a card": re.compile(r"\btok_(?:ok|slow|declined)\b"),
}
"""Patterns of private data, among them what the tests' own customers are called."""
NO_EMAIL = re.compile(r"mamie@localhost\S*")
"""The name of RabbitMQ's node, which looks like an email."""


def kinds_of_private_data(text: str) -> set[str]:
    """Return which kinds of PRIVATE are in a text."""
    return {kind for kind, pattern in PRIVATE.items() if pattern.search(text)}


def find_private_data(folder: Path) -> Iterable[str]:
    """Yield what a folder's logs have of PRIVATE: the file, the kind, the number and an example."""
    for file in sorted(folder.glob("*.log")):
        text = NO_EMAIL.sub("", file.read_text(errors="replace"))
        for kind, pattern in PRIVATE.items():
            if found := list(pattern.finditer(text)):
                yield f"{file.name} has {kind}, {len(found)} times: {_line_of(text, found[0])}"


def find_private_spans(folder: Path) -> Iterable[str]:
    """Yield what the traces of a folder have of PRIVATE: the span, and the kind."""
    if not (folder / FILE).exists():  # the stack runs without traces
        return
    for trace in TraceReader(folder).newest(MAX_TRACES):
        for span in trace:
            text = f"{span.name} {span.error} {dict(span.attributes)}"
            for kind in kinds_of_private_data(text):
                yield f"a span of {span.service} has {kind}: {text[:400]}"


def _line_of(text: str, match: re.Match[str]) -> str:
    begin = text.rfind("\n", 0, match.start()) + 1
    return text[begin : text.find("\n", match.end())][:400]
