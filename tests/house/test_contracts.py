"""Every import contract that lists services lists all of them."""

import configparser
import re
from collections.abc import Iterator, Sequence

import pytest

from scripts.paths import ROOT

LISTS = ("modules", "source_modules", "forbidden_modules")
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in ROOT.glob("services/**/*.py")
    if "tests" not in file.parts
}
SETUP = (ROOT / "setup.cfg").read_text()


def lists_of_services(setup: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield the lists of modules in contracts that are about more than one service."""
    parser = configparser.ConfigParser()
    parser.read_string(setup)
    for section in parser.sections():
        for option in LISTS if section.startswith("importlinter:contract:") else ():
            modules = parser.get(section, option, fallback="").split()
            found = [each for each in modules if each.startswith("services.")]
            if any("*" in each for each in found) or len({_service(each) for each in found}) > 1:
                yield section.removeprefix("importlinter:contract:"), found


def missing(setup: str) -> Iterator[str]:
    """Yield the modules that such a list lacks, though it has modules of the same name."""
    for contract, listed in lists_of_services(setup):
        pattern = re.compile("|".join(map(_pattern, listed)))
        for module in sorted({each for entry in listed for each in _alike(entry)}):
            if not pattern.fullmatch(module):
                yield f"{contract} lacks {module}"


def _alike(entry: str) -> Iterator[str]:
    """Yield the modules that are what an entry is: services, or all modules of its name."""
    parts = entry.split(".")
    if len(parts) == 2:
        yield from {f"services.{_service(module)}" for module in MODULES}
    else:
        yield from (module for module in MODULES if module.endswith(f".{parts[-1]}"))


def _service(module: str) -> str:
    return module.split(".")[1]


def _pattern(entry: str) -> str:
    """Return a regular expression for an entry with import-linter's wildcards."""
    words = {"**": r"\w+(\.\w+)*", "*": r"\w+"}
    return r"\.".join(words.get(part, part) for part in entry.split("."))


def test_no_contract_that_lists_services_lacks_one():
    assert list(missing(SETUP)) == []


def test_services_and_domains_are_held_by_contracts():
    contracts = {contract for contract, _ in lists_of_services(SETUP)}
    assert contracts == {"services-are-independent", "domains-are-pure"}


@pytest.mark.parametrize(
    ("wildcard", "listed", "found"),
    [
        ("services.*\n", "services.common services.users", "independent lacks services.catalog"),
        ("services.**.domain", "services.users.domain services.orders.domain", "services.cat"),
        ("services.**.domain", "services.*.domain", "pure lacks services.orders.reconciliation"),
    ],
)
def test_a_list_that_lacks_a_service_is_found(wildcard, listed, found):
    assert SETUP.count(wildcard) == 1
    planted = SETUP.replace(wildcard, listed.replace(" ", "\n    ") + "\n")
    assert found in "\n".join(missing(planted))
