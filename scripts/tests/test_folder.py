"""The data directory: used by one stack, and refused in one line when it cannot be used."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.paths import ROOT
from scripts.stack.folder import DataFolderError, is_taken, take_folder


def refusal(data):
    with pytest.raises(DataFolderError) as caught:
        take_folder(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_used_is_refused_until_its_user_is_gone(tmp_path):
    lock = take_folder(tmp_path / "new" / "data")
    assert "a stack runs on" in refusal(tmp_path / "new" / "data")
    assert is_taken(tmp_path / "new" / "data")
    lock.close()
    assert not is_taken(tmp_path / "new" / "data")
    take_folder(tmp_path / "new" / "data").close()


def test_the_process_that_inherits_the_lock_keeps_it(tmp_path):
    with take_folder(tmp_path) as lock:
        sleeper = subprocess.Popen(["sleep", "600"], pass_fds=[lock.fileno()])
    try:
        assert is_taken(tmp_path)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert not is_taken(tmp_path)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "data").touch()
    assert "cannot be used" in refusal(tmp_path / "data")
    assert "cannot be used" in refusal(tmp_path / "data" / "below")


def test_a_folder_that_cannot_be_written_is_refused():
    assert "cannot be used" in refusal(Path("/proc/mamie-rosa"))


def test_a_path_that_is_too_long_for_a_socket_is_refused(tmp_path):
    assert "is longer than" in refusal(tmp_path / ("x" * 100))


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5_000_000))
    assert "5 MB left" in refusal(tmp_path)


def test_a_folder_that_does_not_exist_is_not_taken(tmp_path):
    assert not is_taken(tmp_path / "none")


@pytest.mark.parametrize("data", ["file", "x" * 120])
def test_the_command_refuses_a_bad_folder_in_one_line(tmp_path, data):
    (tmp_path / "file").touch()
    command = [sys.executable, "-P", "-m", "scripts.stack", "up", "--detach", "--data", data]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'build' / 'gen'}", "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert str(tmp_path / data) in done.stdout
    assert done.stderr == ""
