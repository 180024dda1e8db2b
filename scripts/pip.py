"""pip, with the network of the user's configuration alone: `python -m scripts.pip install ...`.

Indexes, proxies and certificates of pip.conf and of PIP_* are kept, for nothing could be fetched
without them. Whatever says where or how to install (user, target, constraint, no-binary, ...) is
not: it would install elsewhere, or not what is locked.
"""

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

NETWORK = frozenset(
    {
        *("index-url", "extra-index-url", "find-links", "no-index", "trusted-host"),
        *("cert", "client-cert", "proxy", "timeout", "default-timeout", "retries"),
        *("keyring-provider", "cache-dir", "no-cache-dir"),
    }
)


def main() -> None:
    """Replace this process by pip."""
    command = [sys.executable, "-m", "pip", *sys.argv[1:]]
    os.execve(sys.executable, command, pip_environment(os.environ))  # noqa: S606


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for pip: `environ` with the network options alone."""
    options = {name: value for file in config_files(environ) for name, value in _options(file)}
    options |= {_option(name): value for name, value in environ.items() if name.startswith("PIP_")}
    kept = {name: value for name, value in environ.items() if not name.startswith("PIP_")}
    chosen = {_variable(name): value for name, value in options.items() if name in NETWORK}
    return kept | chosen | {"PIP_CONFIG_FILE": os.devnull}


def config_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files that pip reads, the later ones before the earlier ones."""
    if environ.get("PIP_CONFIG_FILE") == os.devnull:
        return
    home = Path(environ.get("HOME", "/nonexistent"))
    for folder in reversed(environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    if named := environ.get("PIP_CONFIG_FILE"):
        yield Path(named)


def _options(file: Path) -> Iterator[tuple[str, str]]:
    parser = configparser.RawConfigParser()
    parser.read(file, encoding="utf-8")  # a file that is not there has no sections
    for section in ("global", "install"):
        if parser.has_section(section):
            yield from ((name.replace("_", "-"), value) for name, value in parser.items(section))


def _option(variable: str) -> str:
    return variable.removeprefix("PIP_").lower().replace("_", "-")


def _variable(option: str) -> str:
    return f"PIP_{option.upper().replace('-', '_')}"


if __name__ == "__main__":
    main()
