"""The generated code is up to date, and is generated again when it is not."""

import pytest

from scripts.paths import ROOT
from scripts.protos import generate


def test_the_generated_code_belongs_to_these_sources():
    assert generate.STAMP.read_text() == generate.fingerprint()
    assert generate.DESCRIPTORS.exists()


def test_up_to_date_code_is_not_generated_again():
    before = generate.DESCRIPTORS.stat().st_mtime_ns
    assert generate.main() == 0
    assert generate.DESCRIPTORS.stat().st_mtime_ns == before


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Point the generator at another checkout, in which there are no protos yet."""
    for name in ("PROTOS", "BUILD", "GENERATED", "DESCRIPTORS", "STAMP"):
        here = getattr(generate, name).relative_to(ROOT)
        monkeypatch.setattr(generate, name, tmp_path / here)
    generate.PROTOS.mkdir()
    return generate


def test_the_fingerprint_changes_with_every_proto(project):
    seen = {project.fingerprint()}
    for name, text in (("a.proto", "1"), ("a.proto", "2"), ("b.proto", "3")):
        (project.PROTOS / name).write_text(text)
        seen.add(project.fingerprint())
    assert len(seen) == 4


def test_the_fingerprint_is_the_same_for_the_same(project):
    (project.PROTOS / "a.proto").write_text("1")
    first = project.fingerprint()
    (project.PROTOS / "a.proto").touch()
    (project.PROTOS / "notes.txt").write_text("2")
    assert project.fingerprint() == first


def test_a_proto_that_changed_is_generated_again(project):
    proto = project.PROTOS / "a.proto"
    for field in ("one", "two"):
        proto.write_text(f'syntax = "proto3"; message A {{ string {field} = 1; }}')
        assert project.main() == 0
        assert field in (project.GENERATED / "a_pb2.py").read_text()
    assert project.DESCRIPTORS.exists()


def test_an_invalid_proto_ends_the_run_and_keeps_the_generated_code(project):
    proto = project.PROTOS / "a.proto"
    proto.write_text('syntax = "proto3"; message A {}')
    project.main()
    proto.write_text("nonsense")
    with pytest.raises(SystemExit, match="protoc failed"):
        project.main()
    assert (project.GENERATED / "a_pb2.py").exists()


def test_protos_are_named_as_protoc_does(tmp_path):
    for name in ("b/two.proto", "a/one.proto", "a/not.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert generate.names(tmp_path) == ["a/one.proto", "b/two.proto"]
