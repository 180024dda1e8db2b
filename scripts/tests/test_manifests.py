"""Manifests are found in the folders of services, and contradictions are refused."""

import subprocess
import sys

import pytest

from scripts.manifests import ManifestError, read_control_plane, read_services
from scripts.paths import ROOT
from services.common.manifest import Manifest

MANIFEST = """
from services.common.manifest import Manifest
MANIFEST = Manifest(name={name!r}, port={port}, upstreams={upstreams!r})
"""


@pytest.fixture
def add(tmp_path):
    """Return a function that adds a manifest to a checkout of its own."""

    def add(folder, *, port, name="", upstreams=()):
        file = tmp_path / "services" / folder / "manifest.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(MANIFEST.format(name=name or folder, port=port, upstreams=upstreams))

    return add


def test_every_folder_with_a_program_has_a_manifest():
    programs = {file.parent.name for file in ROOT.glob("services/*/__main__.py")}
    assert {each.name for each in (*read_services(), read_control_plane())} == programs


def test_services_are_ordered_by_port_and_the_control_plane_is_none_of_them(add, tmp_path):
    for number, name in enumerate(("control_plane", "zebra", "ant")):
        add(name, port=8001 + number)
    assert [each.name for each in read_services(tmp_path)] == ["zebra", "ant"]
    assert read_control_plane(tmp_path).port == 8001


def test_a_manifest_that_changed_is_read_again(add, tmp_path):
    add("ant", port=8001)
    read_services(tmp_path)
    add("ant", port=8002)
    assert [each.port for each in read_services(tmp_path)] == [8002]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"folder": "bee", "port": 8001}, "port 8001 belongs to 2 services"),
        ({"folder": "bee", "port": 8002, "name": "ant"}, "the name is ant"),
        ({"folder": "bee", "port": 8002, "upstreams": ("wasp",)}, "bee: there is no service wasp"),
    ],
)
def test_manifests_that_contradict_each_other_are_refused(add, tmp_path, second, message):
    add("ant", port=8001)
    add(**second)
    with pytest.raises(ManifestError, match=message):
        read_services(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"store": "paper"}, "the store is one of"),
        ({"consumes": True}, "a service that consumes has the task 'declare'"),
        ({"tasks": ("declare",)}, "a service that consumes has the task 'declare'"),
        ({"settings": ("COLOUR",)}, "unknown settings: COLOUR"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Manifest(name="ant", port=8001, **fields)


def test_reading_manifests_imports_no_library_of_a_service():
    code = "import sys; from scripts.manifests import read_services; read_services(); "
    code += "print({'grpc', 'structlog', 'environs', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()"
