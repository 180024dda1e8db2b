"""A graph of one's own, for tests and for the evaluation: they empty what they use."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scripts.stack import servers
from scripts.stack.credentials import Secrets
from scripts.stack.neo4j import answers, community
from scripts.stack.ports import Ports
from scripts.stack.settings import read_settings
from scripts.stack.units import RunningUnit

KINDS = {"embedded": servers.bolt, "community": community}


@contextmanager
def own_graph(kind: str, folder: Path) -> Iterator[str]:
    """Start a graph with its data in a folder, and yield its URL; it is stopped afterwards."""
    make = KINDS[kind]
    unit, url = make(folder / kind, Ports(folder / "ports.json"), Secrets(folder / "secrets.json"))
    unit = replace(unit, ready=lambda: answers(url))
    running = RunningUnit(unit, folder / f"{kind}.log", lambda: None)
    try:
        running.start()
        yield url
    finally:
        running.stop()


def kind_wanted() -> str:
    """Return which graph MAMIE_NEO4J asks for; a bad value ends the process and is named."""
    return read_settings().neo4j
