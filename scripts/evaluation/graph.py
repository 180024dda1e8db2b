"""A temporary graph, for tests and for the evaluation, which delete its data."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from scripts.stack import servers
from scripts.stack.credentials import Secrets
from scripts.stack.environment import private_environment
from scripts.stack.neo4j import answers, community
from scripts.stack.ports import Ports
from scripts.stack.settings import read_settings
from scripts.stack.units import RunningUnit

KINDS = {"embedded": servers.bolt, "community": community}


@contextmanager
def temporary_graph(kind: str, folder: Path) -> Iterator[str]:
    """Start a graph with its data in a folder, yield its URL, and stop it."""
    build = KINDS[kind]
    unit, url = build(folder / kind, Ports(folder / "ports.json"), Secrets(folder / "secrets.json"))
    unit = replace(unit, ready=lambda: answers(url))
    running = RunningUnit(unit, folder / f"{kind}.log", lambda: None, private_environment(folder))
    try:
        running.start()
        yield url
    finally:
        running.stop()


def configured_kind() -> str:
    """Return the kind that MAMIE_NEO4J names; a bad value ends the process and is named."""
    return read_settings().neo4j
