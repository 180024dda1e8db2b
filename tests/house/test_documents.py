"""Documents name files, commands and other documents that exist."""

import re
from pathlib import Path

import pytest

from scripts.paths import ROOT

FOLDERS = (
    ".ci",
    "consul",
    "deploy",
    "docs",
    "envoy",
    "protos",
    "scripts",
    "services",
    "tests",
)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
PLACEHOLDER = re.compile(r"[<>{}*…]|\bNAME\b|\.\.\.")


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def named_paths(text: str) -> list[str]:
    """Return the paths of this repository in a document's inline code, blocks left out."""
    words = (word for code in CODE.findall(FENCE.sub("", text)) for word in code.split())
    return [
        word.rstrip(".,:;")
        for word in words
        if word.split("/")[0] in FOLDERS and "/" in word and not PLACEHOLDER.search(word)
    ]


def blocks(text: str) -> str:
    return "\n".join(FENCE.findall(text))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_every_path_that_is_named_exists(document: Path):
    missing = [name for name in named_paths(document.read_text()) if not (ROOT / name).exists()]
    assert missing == []


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_every_script_in_a_block_exists(document: Path):
    scripts = set(re.findall(r"(?<![\w/.])scripts/[\w-]+", blocks(document.read_text())))
    assert sorted(name for name in scripts if not (ROOT / name).exists()) == []


@pytest.mark.parametrize("document", documents(), ids=relative)
def test_every_link_leads_somewhere(document: Path):
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_index_names_every_document():
    index = (ROOT / "docs" / "README.md").read_text()
    docs = ROOT / "docs"
    names = [str(path.relative_to(docs)) for path in docs.rglob("*.md")]
    assert [name for name in names if name != "README.md" and f"({name})" not in index] == []


def variables_that_are_read() -> set[str]:
    """Return the names of all settings, as `env.int("HTTP_PORT", ...)` in the code has them."""
    modules = [*ROOT.glob("services/*/config.py"), ROOT / "scripts" / "stack" / "settings.py"]
    found = (re.findall(r"env\.\w+\(\s*\"([A-Z_0-9]+)\"", path.read_text()) for path in modules)
    return {f"MAMIE_{name}" for names in found for name in names}


def test_every_setting_is_described():
    described = set(re.findall(r"MAMIE_\w+", (ROOT / "docs" / "settings.md").read_text()))
    assert len(variables_that_are_read()) > 30
    assert variables_that_are_read() - described == set()


def test_a_path_that_does_not_exist_is_found():
    text = "See `services/orders/nowhere.py`, `services/<name>/` and\n```sh\nscripts/x\n```\n"
    assert named_paths(text) == ["services/orders/nowhere.py"]
