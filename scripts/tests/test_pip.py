"""pip hears the network of the user's configuration, and nothing else of it."""

import os

import pytest

from scripts.pip import pip_environment


@pytest.fixture
def configured(tmp_path):
    """Return a function that gives pip's environment for a pip.conf and variables."""

    def configured(text="", **variables):
        folder = tmp_path / ".config" / "pip"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pip.conf").write_text(text)
        made = pip_environment({"HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/none"} | variables)
        return {name: value for name, value in made.items() if name.startswith("PIP_")}

    return configured


def test_where_and_how_to_install_is_not_heard(configured):
    found = configured(
        "[global]\nuser = true\ntarget = /elsewhere\nrequire-virtualenv = true\n"
        "[install]\nprefix = /elsewhere\nconstraint = /elsewhere\nno-deps = yes\n",
        PIP_USER="1",
        PIP_TARGET="/elsewhere",
        PIP_NO_BINARY=":all:",
        PIP_REQUIRE_VIRTUALENV="1",
        PIP_DRY_RUN="1",
        PIP_PYTHON="/elsewhere",
    )
    assert not set(found) & {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_NO_DEPS", "PIP_PYTHON"}
    assert "/elsewhere" not in found.values()
    assert found["PIP_CONFIG_FILE"] == os.devnull


def test_indexes_and_certificates_are_heard(configured):
    found = configured(
        "[global]\nindex-url = https://mirror.example/simple\ncert = /ca.pem\n"
        "[install]\nfind_links =\n    /wheels\n    /more\n",
        PIP_DEFAULT_TIMEOUT="180",
    )
    assert found["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert found["PIP_CERT"] == "/ca.pem"
    assert found["PIP_FIND_LINKS"].split() == ["/wheels", "/more"]
    assert found["PIP_DEFAULT_TIMEOUT"] == "180"


def test_a_variable_comes_before_a_file(configured):
    found = configured("[global]\nindex-url = https://file/\n", PIP_INDEX_URL="https://variable/")
    assert found["PIP_INDEX_URL"] == "https://variable/"


def test_a_file_that_is_named_is_read_and_devnull_means_none(configured, tmp_path):
    (tmp_path / "named").write_text("[global]\nproxy = http://named:1\n")
    named = configured(PIP_CONFIG_FILE=str(tmp_path / "named"))
    assert named["PIP_PROXY"] == "http://named:1"
    none = configured("[global]\nproxy = http://file:1\n", PIP_CONFIG_FILE=os.devnull)
    assert "PIP_PROXY" not in none
