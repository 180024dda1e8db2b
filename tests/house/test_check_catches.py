"""What scripts/check is for: faults are planted in a copy of the checkout, and found."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.paths import GENERATED, ROOT

pytestmark = pytest.mark.integration

COPIED = ("services", "scripts", "tests")
SERVICER = "services/payments/servicer.py"


class Checkout:
    """A copy of what the checks read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in COPIED:
            unread = shutil.ignore_patterns("__pycache__", "images", "templates")
            shutil.copytree(ROOT / name, folder / name, ignore=unread)
        shutil.copy(ROOT / "setup.cfg", folder)
        (folder / "build").mkdir()
        (folder / "build" / "gen").symlink_to(GENERATED)

    def plant(self, file: str, before: str, after: str) -> None:
        """Replace the first occurrence of a text; empty, it is the end of the file."""
        path = self._folder / file
        text = path.read_text() if path.exists() else ""
        assert before in text
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.replace(before, after, 1) if before else f"{text}\n{after}\n")

    def run(self, *command: str) -> tuple[int, str]:
        """Run a tool and return its exit status and what it prints."""
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PYTHONPATH": str(self._folder), "PATH": programs}
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("checkout"))


def test_a_misspelt_request_field_fails_mypy(checkout):
    checkout.plant(SERVICER, "request.user_id", "request.user_idd")
    status, output = checkout.run("mypy", "--cache-dir", "cache", SERVICER)
    assert status == 1
    assert re.search(rf'{SERVICER}:\d+: error: .* has no attribute "user_idd"', output)
    assert "Found 1 error in 1 file" in output


FAULTS = [
    ("services.common.money", "services.common.runtime", "The layers of services.common"),
    ("services.common.rpc.paging", "services.common.mesh.consul", "The layers of services.common"),
    ("services.users.domain", "services.catalog.domain", "No service imports another"),
    ("services.common.clock", "services.users.domain", "No service imports another"),
    ("services.wishlist.domain", "services.users.domain", "No service imports another"),
    ("services.wishlist.domain", "grpc", "A domain imports no gRPC"),
    ("services.orders.tracking.domain", "pymongo", "A domain imports no gRPC"),
    ("services.users.keys", "consul", "services.common.mesh.consul alone"),
    ("services.users.keys", "scripts.paths", "Services import neither scripts nor tests"),
    ("services.users.keys", "tests.plugin", "Services import neither scripts nor tests"),
    ("scripts.paths", "scripts.stack.plan", "The layers of scripts"),
    ("scripts.edge.render", "scripts.stack.plan", "The layers of scripts"),
    ("scripts.stack.plan", "tests.plugin", "Scripts do not import tests"),
]


@pytest.fixture(scope="module")
def broken_contracts(checkout):
    """Return what lint-imports prints about each broken contract, when all FAULTS are planted."""
    for importer, imported, _ in FAULTS:
        checkout.plant(f"{importer.replace('.', '/')}.py", "", f"import {imported}")
    checkout.plant("services/common/stray.py", "", "")
    status, output = checkout.run("lint-imports", "--config", "setup.cfg", "--no-cache")
    assert status == 1
    _, _, broken = output.partition("Broken contracts")
    parts = re.split(r"^(.+)\n-+$", broken, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(("importer", "imported", "contract"), FAULTS)
def test_an_import_that_a_contract_forbids_fails_lint_imports(
    broken_contracts, importer, imported, contract
):
    (said,) = [text for name, text in broken_contracts.items() if name.startswith(contract)]
    assert re.search(rf"{re.escape(importer)} -> {re.escape(imported)} \(l\.\d+", said)


def test_a_module_of_common_that_is_in_no_layer_fails_lint_imports(broken_contracts):
    assert "stray" in broken_contracts["The layers of services.common"]
