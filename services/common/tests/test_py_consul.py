"""python-consul and py-consul are interchangeable: the same tests pass with either.

Both are imported as `consul`, so each needs a process of its own. scripts/test installs
py-consul into build/py-consul (deploy/locks/py-consul.txt), outside of the environment.
"""

import os
import subprocess
import sys

import pytest

from scripts.paths import ROOT

PY_CONSUL = ROOT / "build" / "py-consul"
TESTS = "services/common/tests/test_consul.py"


@pytest.fixture
def environment(consul_url):
    assert (PY_CONSUL / "consul").is_dir(), "build/py-consul is missing; run scripts/test"
    path = os.pathsep.join(map(str, (PY_CONSUL, ROOT, ROOT / "build" / "gen")))
    return os.environ | {"PYTHONPATH": path, "MAMIE_TEST_CONSUL_URL": consul_url}


def run(environment, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.integration
class TestWithPyConsul:
    def test_py_consul_is_imported(self, environment):
        found = run(environment, "-c", "import consul; print(consul.__file__)")
        assert found.stdout.startswith(str(PY_CONSUL))

    def test_the_tests_of_the_client_pass(self, environment):
        done = run(environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", TESTS)
        assert done.returncode == 0, done.stdout
        assert " passed" in done.stdout
