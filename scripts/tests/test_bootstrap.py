"""The shell functions of scripts/bootstrap, and what all commands share."""

import os
import subprocess

import pytest

from scripts.paths import ROOT
from tests.support import hostile

COMMANDS = ("down", "logs", "mail", "reconcile", "redrive", "replay", "scale", "status", "topology")
SYSTEM = "/usr/local/bin:/usr/bin:/bin"
FAKE = """#!/bin/sh
case "$2" in *ensurepip*) {with_venv};; *enable-optimizations*) {with_pgo};; esac
{version}
"""


@pytest.fixture
def sourced(tmp_path):
    """Return a function that runs lines after scripts/bootstrap, in an empty checkout."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "bootstrap").write_text((ROOT / "scripts" / "bootstrap").read_text())

    def sourced(lines, path=SYSTEM, **variables):
        code = f"set -euo pipefail; source scripts/bootstrap; {lines}"
        return subprocess.run(
            ["/bin/bash", "-c", code],
            cwd=tmp_path,
            env={"PATH": path} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return sourced


@pytest.fixture
def machine(sourced, tmp_path):
    """Return a function that finds the Python of a machine that has these.

    Each is (suitable, with venv) or (suitable, with venv, built with PGO).
    """

    def machine(**pythons):
        for name, (suitable, has_venv, *optimised) in pythons.items():
            file = tmp_path / "bin" / name.replace("_", ".")
            file.write_text(
                FAKE.format(
                    with_venv="" if has_venv else "exit 1",
                    with_pgo="exit 0" if any(optimised) else "exit 1",
                    version=f"echo {file.name}" if suitable else "exit 1",
                )
            )
            file.chmod(0o755)
        lines = "apt_install() { echo apt >&2; return 1; }; find_python"
        return sourced(lines, path=str(tmp_path / "bin"))

    return machine


def test_the_users_python_is_preferred(machine):
    assert machine(python3=(True, True), python3_11=(True, True)).stdout == "python3\n"


def test_a_python_that_is_built_with_pgo_comes_before_one_without(machine):
    found = machine(python3=(True, True), python3_12=(True, True, True), python3_11=(True, True))
    assert found.stdout == "python3.12\n"


def test_a_python_with_pgo_that_is_not_suitable_is_passed_over(machine):
    found = machine(python3=(False, True, True), python3_12=(True, False, True), python3_11=(1, 1))
    assert found.stdout == "python3.11\n"


def test_the_systems_python_is_found_behind_a_version_managers(sourced, tmp_path):
    for folder, optimised in (("shims", "exit 1"), ("usr", "exit 0")):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "python3"
        file.write_text(FAKE.format(with_venv="", with_pgo=optimised, version=f"echo {folder}"))
        file.chmod(0o755)
    found = sourced("find_python", path=f"{tmp_path / 'shims'}:{tmp_path / 'usr'}")
    assert found.stdout == "usr\n"


def test_a_python_that_is_too_old_or_too_new_is_passed_over(machine):
    found = machine(python3=(False, True), python3_12=(True, True), python3_11=(True, True))
    assert found.stdout == "python3.12\n"


def test_a_python_that_cannot_make_environments_is_passed_over(machine):
    found = machine(python3=(True, False), python3_11=(True, True))
    assert (found.stdout, found.stderr) == ("python3.11\n", "")


def test_the_package_for_environments_is_installed_where_only_that_is_missing(machine):
    assert "apt" in machine(python3=(True, False)).stderr


def test_without_any_suitable_python_one_line_says_what_is_needed(machine):
    found = machine(python3=(False, True))
    assert found.returncode == 1
    assert found.stderr == "Python 3.11, 3.12 or 3.13 is needed on PATH, with its module venv.\n"


def test_the_python_that_the_user_names_comes_before_all(machine, sourced, tmp_path):
    machine(python3=(True, True, True), mine=(True, True))
    path, mine = str(tmp_path / "bin"), str(tmp_path / "bin" / "mine")
    assert sourced("find_python", path=path, MAMIE_PYTHON=mine).stdout == "mine\n"


def test_a_named_python_that_is_not_suitable_is_named_in_one_line(machine, sourced, tmp_path):
    machine(python3=(True, True))
    found = sourced("find_python", path=str(tmp_path / "bin"), MAMIE_PYTHON="/x/python3.9")
    assert found.returncode == 1
    assert found.stderr == (
        "Python 3.11, 3.12 or 3.13 is needed as MAMIE_PYTHON, not /x/python3.9, "
        "with its module venv.\n"
    )


def test_what_is_not_needed_is_not_heard(sourced):
    hostile = {
        "http_proxy": "http://127.0.0.1:9",
        "CONSUL_HTTP_ADDR": "x",
        "PYTHONHOME": "/x",
        "PGHOST": "x",
        "LC_ALL": "xx_XX",
        "JAVA_TOOL_OPTIONS": "x",
    }
    done = sourced("hear; /usr/bin/env", HOME="/home/x", MAMIE_HTTP_PORT="81", **hostile)
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert not names & set(hostile)
    assert {"HOME", "PATH", "MAMIE_HTTP_PORT", "LANG"} <= names


def test_the_users_network_is_heard_where_packages_are_fetched(sourced):
    done = sourced(
        'hear "${NETWORK[@]}"; /usr/bin/env', http_proxy="p", PIP_INDEX_URL="i", PGHOST="x"
    )
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert {"http_proxy", "PIP_INDEX_URL"} <= names
    assert "PGHOST" not in names


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_in_one_line_that_nothing_is_installed(command, sourced, tmp_path):
    (tmp_path / "scripts" / command).write_text((ROOT / "scripts" / command).read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/usr/bin/true")  # pip did not finish
    done = sourced(f"bash scripts/{command}")
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "Nothing is installed yet; run scripts/up first.\n")


def test_a_command_works_through_a_link_from_another_folder_in_a_hostile_shell(tmp_path):
    (tmp_path / "status").symlink_to(ROOT / "scripts" / "status")
    done = subprocess.run(
        [str(tmp_path / "status"), "--data", "mine"],
        cwd=tmp_path,
        env={**os.environ, **hostile.VARIABLES, "PYTHONHOME": "/elsewhere"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == f"no stack runs on {tmp_path / 'mine'}\n"
