"""Secrets of one stack: made once, kept in a file that only its owner reads."""

import json
import secrets
from pathlib import Path


class Secrets:
    """Named random passwords; `is_new` tells whether one was made by this process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        self._made: set[str] = set()

    def get(self, name: str) -> str:
        """Return the secret of a name; it is made when there is none."""
        if name not in self._known:
            self._known[name] = secrets.token_urlsafe(18)
            self._made.add(name)
            self._save()
        return self._known[name]

    def set(self, name: str, value: str) -> None:
        """Keep a secret that somebody chose."""
        self._known[name] = value
        self._save()

    def is_new(self, name: str) -> bool:
        """Return whether the secret was made just now."""
        return name in self._made

    def _save(self) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(self._known, indent=2))
        fresh.rename(self._file)
