"""Secrets of one stack: created once, in a file that only its owner can read."""

import json
import secrets
from pathlib import Path


class Secrets:
    """Named random passwords; `is_new` is true for those that this process created."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        self._created: set[str] = set()

    def get(self, name: str) -> str:
        """Return the secret of a name; it is created when there is none."""
        if name not in self._known:
            self._known[name] = secrets.token_urlsafe(18)
            self._created.add(name)
            self._save()
        return self._known[name]

    def set(self, name: str, value: str) -> None:
        """Store a secret that was chosen by a person."""
        self._known[name] = value
        self._save()

    def is_new(self, name: str) -> bool:
        """Return whether this process created the secret."""
        return name in self._created

    def _save(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(self._known, indent=2))
        fresh.rename(self._file)
