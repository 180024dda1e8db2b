"""A service is created on a running shop, as docs/add-a-service.md says, and removed again."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scripts.paths import ROOT
from scripts.stack.client import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.local, pytest.mark.timeout(600)]

COPIED = ("consul", "deploy", "docs", "envoy", "protos", "scripts", "services", "tests")
FILES = ("compose.yaml", "pyproject.toml", "setup.cfg", ".yamllint")
SHARED = (".venv", "build/consul")
ONE_OF_EACH = "users=1,catalog=1,orders=1,promotions=1,recommendations=1,payments=1"
LIMIT_SECONDS = 60


class Checkout:
    """A copy of this checkout, with a running shop of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.stack = Stack(self.data)
        for name in COPIED:
            unread = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=unread)
        for name in FILES:
            shutil.copy(ROOT / name, folder)
        (folder / "build").mkdir()
        for name in SHARED:
            if (ROOT / name).exists():
                (folder / name).symlink_to((ROOT / name).resolve())
        if (ROOT / ".mypy_cache").exists():  # only to be faster
            shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")

    def run(self, lines: str, **environment: str) -> str:
        """Run shell lines as the document has them, on this shop, and return their output."""
        url = self.stack.url("http")
        lines = lines.replace("http://127.0.0.1:8080", url)
        lines = re.sub(r"^(scripts/new-service .*)$", rf"\1 --data {self.data}", lines, flags=re.M)
        return self._run(["bash", "-euo", "pipefail", "-c", lines], **environment)

    def up(self) -> None:
        """Start the shop."""
        command = ["scripts/up", "--detach", f"--data={self.data}", f"--scale={ONE_OF_EACH}"]
        self._run(command, MAMIE_RATE_LIMIT_PER_MINUTE="1000000")

    def down(self) -> None:
        """Stop it."""
        self._run(["scripts/down", "--data", str(self.data)])

    def _run(self, command: list[str], **environment: str) -> str:
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH")}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=inherited | environment,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def sources(self) -> Mapping[str, str]:
        """Return a digest of every file that belongs to the source."""
        files = [path for name in COPIED for path in (self.folder / name).rglob("*")]
        files += [self.folder / name for name in FILES]
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if path.is_file() and "__pycache__" not in path.parts
        }


def block_under(heading: str) -> str:
    """Return the block of shell lines under a heading of the document."""
    text = (ROOT / "docs" / "add-a-service.md").read_text()
    found = re.search(rf"## {heading}\n.*?```sh\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    checkout.up()
    yield checkout
    checkout.down()


@contextmanager
def steady_reads(url: str) -> Iterator[Counter[int]]:
    """Read products without pause; yield how many responses had which status."""
    statuses: Counter[int] = Counter()
    ended = threading.Event()

    def read() -> None:
        while not ended.wait(0.05):
            statuses[httpx.get(f"{url}/api/products?limit=1").status_code] += 1

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(read)
        try:
            yield statuses
        finally:
            ended.set()
    reading.result()


def test_a_new_service_is_adopted_routed_and_tested_on_a_running_shop(checkout, say):
    url, before, began = checkout.stack.url("http"), checkout.sources(), time.monotonic()
    with steady_reads(url) as statuses:
        checkout.run(block_under("Create it"))
        item = json.loads(checkout.run(block_under("Use it")))
    seconds = time.monotonic() - began
    say(f"a new service answers through Envoy after {seconds:.0f} s")
    assert seconds < LIMIT_SECONDS
    assert item["text"] == "a basket"
    assert httpx.get(f"{url}/api/wishlist/{item['itemId']}").status_code == 401
    assert set(statuses) == {200}

    after = checkout.sources()
    changed = {name for name in before.keys() | after if before.get(name) != after.get(name)}
    folders = ("services/wishlist/", "protos/mamie_rosa/wishlist/")
    documents = {f"services/storefront/reference/{name}.json" for name in ("openapi", "grpc")}
    outside = {name for name in changed if not name.startswith(folders)}
    assert outside == {"compose.yaml", *documents}

    checkout.run(block_under("Check it"), MAMIE_TEST_STACK=str(checkout.data))


def test_a_service_that_was_removed_is_stopped_and_has_no_route(checkout):
    for folder in ("services/wishlist", "protos/mamie_rosa/wishlist"):
        shutil.rmtree(checkout.folder / folder)
    checkout.run(f"scripts/reload --data {checkout.data}")
    assert checkout.stack.instances("wishlist") == []
    answer = httpx.get(f"{checkout.stack.url('http')}/api/wishlist/1")
    assert answer.status_code == 404
