"""Generate Python from `protos/` into `build/gen`, and the descriptor set that Envoy transcodes by.

Nothing is fetched: the imported definitions are in the installed packages
googleapis-common-protos (google/api, google/rpc) and protovalidate (buf/validate, as a
descriptor only).
"""

import hashlib
import shutil
import sys
import tempfile
from importlib import import_module, resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

from scripts.paths import BUILD, DESCRIPTORS, GENERATED, PROTOS

STAMP = BUILD / "gen.stamp"

# Every message that an error may carry in `details` must be known to Envoy.
ERROR_DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")
GENERATORS = ("grpcio-tools", "protobuf", "mypy-protobuf", "protovalidate")


def main() -> int:
    """Generate everything unless it is up to date."""
    stamp = fingerprint()
    if STAMP.exists() and STAMP.read_text() == stamp:
        return 0
    print("generating build/gen from protos/", file=sys.stderr)
    generate()
    STAMP.write_text(stamp)
    return 0


def fingerprint() -> str:
    """Return a hash of the sources and of the generators' versions."""
    digest = hashlib.sha256("".join(map(_installed_version, GENERATORS)).encode())
    digest.update(Path(__file__).read_bytes())
    for name in names(PROTOS):
        digest.update(name.encode() + (PROTOS / name).read_bytes())
    return digest.hexdigest()


def _installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # mypy-protobuf is a development tool
        return "-"


def generate() -> None:
    """Replace `build/gen` and `build/descriptors.binpb`."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        fresh = Path(scratch) / "gen"
        fresh.mkdir()
        run_protoc(PROTOS, *python_options(fresh), "buf/validate/validate.proto", *names(PROTOS))
        descriptors = build_descriptors(PROTOS)
        shutil.rmtree(GENERATED, ignore_errors=True)
        fresh.rename(GENERATED)
    DESCRIPTORS.write_bytes(descriptors)


def build_descriptors(protos: Path) -> bytes:
    """Return the serialized FileDescriptorSet of a folder of protos, imports and comments too."""
    with tempfile.NamedTemporaryFile() as output:
        options = ("--include_imports", "--include_source_info")
        into = f"--descriptor_set_out={output.name}"
        run_protoc(protos, *options, into, *names(protos), *ERROR_DETAILS)
        return Path(output.name).read_bytes()


def names(protos: Path) -> list[str]:
    """Return the proto files of a folder as protoc names them, sorted."""
    return sorted(str(path.relative_to(protos)) for path in protos.rglob("*.proto"))


def python_options(output: Path) -> list[str]:
    """Return the protoc options for Python, with type stubs where mypy-protobuf is installed."""
    options = [f"--python_out={output}", f"--grpc_python_out={output}"]
    if shutil.which("protoc-gen-mypy"):
        options += [f"--mypy_out=quiet:{output}", f"--mypy_grpc_out=quiet:{output}"]
    return options


def run_protoc(protos: Path, *arguments: str) -> None:
    """Run protoc on a folder of protos; its messages go to standard error."""
    from grpc_tools import protoc  # noqa: PLC0415 - images contain the output, not the tool

    builtin = resources.files("grpc_tools") / "_proto"
    googleapis = Path(str(resources.files("google.api") / "annotations.proto")).parents[2]
    with tempfile.NamedTemporaryFile() as validate:
        Path(validate.name).write_bytes(validate_descriptors())
        paths = [f"-I{protos}", f"-I{googleapis}", f"-I{builtin}"]
        known = f"--descriptor_set_in={validate.name}"
        if protoc.main(["protoc", *paths, known, *arguments]):
            raise SystemExit("protoc failed")


def validate_descriptors() -> bytes:
    """Return buf/validate/validate.proto and what it imports, as a serialized FileDescriptorSet."""
    validate_pb = import_module("protovalidate._gen.buf.validate.validate_pb")
    found: dict[str, bytes] = {}

    def collect(file: Any) -> None:
        for dependency in file.dependencies:
            collect(dependency)
        found.setdefault(file.name, file.proto.to_binary())

    collect(validate_pb.desc())
    files = [descriptor_pb2.FileDescriptorProto.FromString(data) for data in found.values()]
    return descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()


if __name__ == "__main__":
    raise SystemExit(main())
