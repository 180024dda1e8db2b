"""The house: rooms, arrows, sizes, types at the door, papers. docs/glossary.md has the words."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from scripts.manifests import read_services
from scripts.paths import ROOT
from services.common.messaging import queues

LARGEST_MODULE = 300
LONG_TESTS = {
    "services/notifications/tests/test_repository.py": "one port on a fake and on PostgreSQL",
    "services/notifications/tests/test_worker.py": "one sender, with all that can go wrong",
    "services/orders/tracking/tests/test_servicer.py": "one stream, with all that can go wrong",
    "services/promotions/tests/test_repository.py": "one port on a fake and on Redis",
    "services/promotions/tests/test_servicer.py": "two servicers that share their promotions",
    "services/recommendations/tests/test_repository.py": "one port on a fake and on two graphs",
}
"""Test modules of more than LARGEST_MODULE lines, and why they are not split."""

PAPERS = ("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
DOCUMENTS = (
    "docs/README.md",
    "docs/add-a-service.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/settings.md",
    "docs/decisions/0010-names.md",
    "docs/decisions/0011-event-evolution.md",
)


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def is_test(path: Path) -> bool:
    relative = path.relative_to(ROOT)
    return relative.parts[0] == "tests" or "tests" in relative.parts[:-1]


def length(path: Path) -> int:
    return len(path.read_text().splitlines())


@cache
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("services", "scripts", "tests", cache_dir=None)


def cycle_between(edges: dict[str, set[str]]) -> list[str]:
    """Return the nodes of a cycle, or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def room(module: str, depth: int) -> str:
    return ".".join(module.split(".")[:depth])


def edges_between_rooms(root: str) -> dict[str, set[str]]:
    """Return who imports whom among the modules and packages directly in `root`; no tests."""
    graph, depth = imports(), root.count(".") + 2
    inside = {module for module in graph.find_descendants(root) if ".tests" not in module}
    edges: dict[str, set[str]] = {room(module, depth): set() for module in inside}
    for module in inside:
        targets = graph.find_modules_directly_imported_by(module) & inside
        edges[room(module, depth)] |= {room(target, depth) for target in targets}
    return {name: targets - {name} for name, targets in edges.items()}


@pytest.mark.parametrize(("folder", "most"), [("services/common", 11), ("services/orders", 18)])
def test_a_large_folder_has_rooms(folder: str, most: int):
    files = [path.name for path in (ROOT / folder).glob("*.py")]
    assert len(files) <= most, sorted(files)


def test_no_module_has_more_than_300_lines():
    code = [path for path in python_files("services", "scripts") if not is_test(path)]
    assert {
        str(path.relative_to(ROOT)): length(path) for path in code if length(path) > LARGEST_MODULE
    } == {}


def test_long_test_modules_are_listed_with_a_reason():
    tests = [path for path in python_files("services", "scripts", "tests") if is_test(path)]
    long = {str(path.relative_to(ROOT)) for path in tests if length(path) > LARGEST_MODULE}
    assert long == set(LONG_TESTS)


def test_no_import_goes_in_a_circle():
    graph = imports()
    edges = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert cycle_between(edges) == []


@pytest.mark.parametrize("root", ["scripts", "services", "services.common", "services.orders"])
def test_no_arrow_between_rooms_runs_back(root: str):
    assert cycle_between(edges_between_rooms(root)) == []


def test_a_cycle_is_found():
    assert cycle_between({"up": {"down"}, "down": {"up"}, "beside": {"up"}})


def test_code_does_not_import_tests_and_services_do_not_import_scripts():
    graph = imports()
    wrong = [
        f"{module} -> {target}"
        for module in graph.modules
        for target in graph.find_modules_directly_imported_by(module)
        if ".tests" not in module
        and not module.startswith("tests")
        and (
            ".tests" in target
            or target.startswith("tests")
            or (module.startswith("services") and target.startswith("scripts"))
        )
    ]
    assert wrong == []


def test_no_script_shadows_the_standard_library():
    names = {path.stem for path in python_files("scripts")}
    assert names & {"secrets", "logging", "types", "select", "queue", "email", "ssl"} == set()


def servicer_methods() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield the RPC methods of every servicer that the services define, with a name to show."""
    for path in python_files("services"):
        if not is_test(path):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and is_servicer(node):
                    for method in rpc_methods(node):
                        where = f"{path.relative_to(ROOT)}:{method.lineno}"
                        yield f"{where} {node.name}.{method.name}", method


def rpc_methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for method in node.body:
        match method:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name[0].isupper():
                yield method


def is_servicer(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("Servicer") for base in node.bases)


def missing_types(method: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the parts of a servicer method that have no type, or one that says nothing."""
    annotations = {each.arg: each.annotation for each in method.args.args[1:]}
    annotations["return"] = method.returns
    vague = (None, "Any", "object")
    return [name for name, found in annotations.items() if (found and ast.unparse(found)) in vague]


def test_every_servicer_method_is_typed():
    methods = list(servicer_methods())
    assert len(methods) > 40
    untyped = {name: missing for name, method in methods if (missing := missing_types(method))}
    assert untyped == {}


def test_an_untyped_method_is_found():
    method = ast.parse("def GetUser(self, request, context: Context) -> Any: ...").body[0]
    assert isinstance(method, ast.FunctionDef)
    assert missing_types(method) == ["request", "return"]


def test_every_servicer_method_is_an_override():
    lacking = [
        name
        for name, method in servicer_methods()
        if "override" not in {ast.unparse(decorator) for decorator in method.decorator_list}
    ]
    assert lacking == []


@pytest.mark.parametrize("name", [*PAPERS, *DOCUMENTS])
def test_the_papers_are_there(name: str):
    assert (ROOT / name).stat().st_size > 500


def test_the_licence_is_the_one_that_the_package_names():
    assert "license = Apache-2.0" in (ROOT / "setup.cfg").read_text()
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_the_queue_of_every_consumer_is_one_that_publishers_declare():
    consumers = {each.name for each in read_services() if each.consumes}
    assert {queue.consumer for queue in queues.ALL} == consumers
