"""Clients that stock generators make of the OpenAPI document compile, and place an order."""

import compileall
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.api.document import PATH
from tests.support.shop import Shop

pytestmark = pytest.mark.e2e

HERE = Path(__file__).parent
TYPESCRIPT = HERE / "typescript"


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    """Return what a command prints; AssertionError with all of it when it fails."""
    variables = {**os.environ, **environment}
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_client_places_an_order(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("post_hooks: []\n")
    generator = Path(sys.executable).parent / "openapi-python-client"
    options = ["--meta", "none", "--config", "config.yaml", "--fail-on-warning"]
    package = tmp_path / "mamie_rosa_client"
    run(generator, "generate", "--path", PATH, "--output-path", package, *options, folder=tmp_path)
    assert compileall.compile_dir(package, quiet=1)
    product = shop.add_product()
    trip = [HERE / "client_trip.py", shop.url, new_email(), product["productId"]]
    printed = run(sys.executable, *trip, folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert printed.strip() == "CONFIRMED"


@pytest.mark.typescript
@pytest.mark.timeout(300)
def test_the_typescript_client_places_an_order(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "typescript"
    shutil.copytree(TYPESCRIPT, folder)
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
    run("npx", "openapi-typescript", PATH, "--output", "schema.d.ts", folder=folder)
    run("npx", "tsc", folder=folder)
    product = shop.add_product()
    trip = ["trip.js", shop.url, new_email(), product["productId"]]
    assert run("node", *trip, folder=folder).strip() == "CONFIRMED"


def new_email() -> str:
    """Return an address that no other test uses."""
    return f"{uuid.uuid4().hex}@customers.example"
