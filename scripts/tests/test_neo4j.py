"""Neo4j Community without its prerequisites: the error says what to install."""

import pytest

from scripts.stack import neo4j


def program(folder, name, text):
    """Create a program that prints a text."""
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{text}' >&2\n")
    file.chmod(0o755)


def test_without_java_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(neo4j.Neo4jMissingError, match="default-jre-headless and maven"):
        neo4j.fetch()


def test_a_java_that_is_too_old_is_named(monkeypatch, tmp_path):
    program(tmp_path, "java", 'openjdk version "11.0.2" 2019-01-15')
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(neo4j.Neo4jMissingError, match=r"too old .*11\.0\.2"):
        neo4j.fetch()


def test_without_maven_the_error_says_what_to_install(monkeypatch, tmp_path):
    program(tmp_path, "java", 'openjdk version "17.0.15" 2025-04-15')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(neo4j.Neo4jMissingError, match="Maven"):
        neo4j.fetch(tmp_path / "neo4j")


def test_the_command_prints_the_error_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["neo4j"])
    with pytest.raises(SystemExit, match="default-jre-headless and maven"):
        neo4j.main()
