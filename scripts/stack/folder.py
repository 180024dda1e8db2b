"""The data directory of a stack: whether it can be used, and who uses it."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

SOCKET = "control.sock"
LOCK = "lock"
MAX_SOCKET_PATH_BYTES = 107
MIN_FREE_BYTES = 1_000_000_000
"""What the servers write at their first start, and some room."""


class DataFolderError(Exception):
    """A stack cannot run on the folder; the message says why, in one line."""


def take_folder(data: Path) -> IO[str]:
    """Make a folder that a stack can run on, and lock it; DataFolderError when it is not one.

    The lock is free when the file that is returned is closed, here and in the processes that
    inherited it.
    """
    if len(os.fsencode(data / SOCKET)) > MAX_SOCKET_PATH_BYTES:
        longest = MAX_SOCKET_PATH_BYTES - len(SOCKET) - 1
        raise DataFolderError(f"the path {data} is longer than {longest} bytes")
    if data.exists() and not data.is_dir():
        raise DataFolderError(f"{data} cannot be used: it is not a folder")
    try:
        data.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(data).free) < MIN_FREE_BYTES:
            raise DataFolderError(f"{data} has {free // 10**6} MB left; a stack needs 1000 MB")
        lock = (data / LOCK).open("a")
    except OSError as error:
        raise DataFolderError(f"{data} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise DataFolderError(f"a stack runs on {data}, or is starting or stopping") from error
    return lock


def is_taken(data: Path) -> bool:
    """Return whether a process holds the lock of a folder."""
    try:
        with (data / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
