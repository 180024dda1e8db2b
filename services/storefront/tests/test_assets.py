"""The files of the web pages: one version of all, and what is not served."""

import re

import pytest

from services.storefront.assets import WEB, AssetNotFoundError, Assets

IMPORTED = re.compile(r"""(?:from|import)\s*\(?["']([./][^"']+)["']""")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "styles").mkdir()
    for name, text in {
        "index.html": "<script src=/assets/$VERSION/app.js>",
        "app.js": "go()",
        "styles/10-b.css": "b {}",
        "styles/00-a.css": "a {}",
        "LICENSES.txt": "MIT",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_page_names_the_version_of_its_files(folder):
    assets = Assets(folder)
    assert assets.shell.data.decode() == f"<script src=/assets/{assets.version}/app.js>"


def test_any_change_of_a_file_is_another_version(folder):
    before = Assets(folder).version
    assert Assets(folder).version == before
    (folder / "app.js").write_text("stop()")
    assert Assets(folder).version != before


def test_the_style_sheets_are_one_file_in_the_order_of_their_names(folder):
    assert Assets(folder).find("style.css").data == b"a {}\nb {}"


@pytest.mark.parametrize("path", ["", "nothing.js", "LICENSES.txt", "../assets.py", "index.html"])
def test_what_is_no_file_of_the_pages_is_not_found(folder, path):
    with pytest.raises(AssetNotFoundError):
        Assets(folder).find(path)


def test_each_import_of_a_script_is_a_file_that_is_served():
    assets = Assets()
    scripts = [path for path in WEB.rglob("*.js") if path.parent.name != "vendor"]
    assert len(scripts) > 10
    for script in scripts:
        for name in IMPORTED.findall(script.read_text()):
            if "$" not in name:
                imported = (script.parent / name).resolve().relative_to(WEB.resolve())
                assert assets.find(imported.as_posix())


def test_nothing_is_asked_of_another_host():
    for path in WEB.rglob("*.*"):
        if path.suffix in {".css", ".html", ".js"}:
            hosts = set(re.findall(r"https?://([\w.]+)", path.read_text()))
            assert hosts <= {"www.w3.org"}, path
