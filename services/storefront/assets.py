"""The files of the web pages: read once, served from memory.

One version, a hash over the contents of all files, is in the path of each: /assets/VERSION/app.js.
Relative imports between scripts stay within it, and browsers and the edge keep them for a year.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import NotFoundError

WEB = Path(__file__).parent / "web"
SHELL = "index.html"
STYLE = "style.css"
"""One file, made of all style sheets: each request costs a new visitor time."""

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


class AssetNotFoundError(NotFoundError):
    """There is no such file."""

    reason = "ASSET_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such file. Load the page again.")


@dataclass(frozen=True)
class Asset:
    """One file."""

    content_type: str
    data: bytes


class Assets:
    """The files below a folder; `version` is a hash of all of them, `shell` the page itself."""

    def __init__(self, folder: Path = WEB) -> None:
        self._files = dict(_read(folder))
        self.version = _hash(self._files)
        page = self._files.pop(SHELL)
        self.shell = Asset(page.content_type, page.data.replace(b"$VERSION", self.version.encode()))

    def find(self, path: str) -> Asset:
        """Return a file; AssetNotFoundError when there is none."""
        if path not in self._files:
            raise AssetNotFoundError
        return self._files[path]


def _read(folder: Path) -> Iterator[tuple[str, Asset]]:
    """Yield every file that browsers understand, with its path; the style sheets as one."""
    for path in sorted(folder.rglob("*")):
        if content_type := CONTENT_TYPES.get(path.suffix):
            yield path.relative_to(folder).as_posix(), Asset(content_type, path.read_bytes())
    styles = sorted((folder / "styles").glob("*.css"))
    yield STYLE, Asset(CONTENT_TYPES[".css"], b"\n".join(path.read_bytes() for path in styles))


def _hash(files: Mapping[str, Asset]) -> str:
    """Hash names and contents to 16 hex digits."""
    digest = hashlib.sha256()
    for name, asset in sorted(files.items()):
        digest.update(f"{name} {len(asset.data)} ".encode() + asset.data)
    return digest.hexdigest()[:16]
