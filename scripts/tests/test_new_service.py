"""A new service is a folder, its protos and its block in compose.yaml."""

import ast
import shutil

import pytest
import yaml

from scripts.manifests import read_services
from scripts.new_service.render import BadNameError, create
from scripts.paths import ROOT


@pytest.fixture
def root(tmp_path):
    """Return a checkout with what the templates are rendered into."""
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    for manifest in ROOT.glob("services/*/manifest.py"):
        if manifest.parent.name != "common":
            (tmp_path / "services" / manifest.parent.name).mkdir(parents=True)
            shutil.copy(manifest, tmp_path / "services" / manifest.parent.name)
    return tmp_path


def relative(files, root):
    return {str(file.relative_to(root)) for file in files}


def test_a_service_has_the_files_that_services_have(root):
    written = relative(create("novelty", root), root)
    assert "protos/mamie_rosa/novelty/v1/novelty.proto" in written
    assert "compose.yaml" in written
    assert {name for name in written if "/tests/" not in name and "/migrations/" not in name} == {
        "compose.yaml",
        "protos/mamie_rosa/novelty/v1/novelty.proto",
        *(
            f"services/novelty/{name}.py"
            for name in ("__main__", "config", "domain", "manifest", "repository", "servicer")
        ),
    }


def test_every_python_file_can_be_parsed_and_names_the_service(root):
    files = [file for file in create("novelty", root) if file.suffix == ".py"]
    for file in files:
        ast.parse(file.read_text())
        assert "$" not in file.read_text()


def test_its_port_is_the_next_one(root):
    highest = max(service.port for service in read_services(root))
    create("novelty", root)
    create("oddity", root)
    ports = {service.name: service.port for service in read_services(root)}
    assert (ports["novelty"], ports["oddity"]) == (highest + 1, highest + 2)


def test_its_block_in_compose_has_its_store_and_changes_nothing_else(root):
    before = yaml.safe_load((root / "compose.yaml").read_text())
    create("novelty", root)
    after = yaml.safe_load((root / "compose.yaml").read_text())
    assert after["services"].keys() - before["services"].keys() == {"novelty", "novelty-prepare"}
    assert after["secrets"].pop("novelty-store-url") == {"file": ".secrets/novelty-store-url"}
    after["services"]["stores-prepare"]["secrets"].remove("novelty-store-url")
    for name in ("novelty", "novelty-prepare"):
        assert after["services"].pop(name)["secrets"] == ["novelty-store-url"]
    assert after == before


@pytest.mark.parametrize("name", ["", "a", "Wishlist", "wish-list", "wish_list", "1st", "class"])
def test_a_name_that_is_no_module_and_package_is_refused(root, name):
    with pytest.raises(BadNameError, match="is no name"):
        create(name, root)


def test_a_service_that_exists_is_refused_and_left_alone(root):
    with pytest.raises(BadNameError, match="services/orders exists already"):
        create("orders", root)
    assert not (root / "protos").exists()
