"""Renders the templates of a service into a checkout."""

import keyword
import re
from pathlib import Path
from string import Template

from scripts.manifests import read_services
from scripts.new_service.compose import add_block
from scripts.paths import ROOT

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".tmpl"
COMPOSE = "compose.yaml"
NAME = re.compile(r"[a-z][a-z0-9]{1,19}")


class BadNameError(ValueError):
    """The name cannot be that of a new service; the message says why."""


def create(name: str, root: Path = ROOT) -> list[Path]:
    """Create a service and return the files that were written; BadNameError before any is."""
    _check_name(name, root)
    port = max(service.port for service in read_services(root)) + 1
    values = {"name": name, "Name": name.capitalize(), "port": str(port)}
    written = []
    for template in sorted(TEMPLATES.rglob(f"*/*{SUFFIX}")):
        target = root / _target(template, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_render(template, values))
        written.append(target)
    compose = root / COMPOSE
    block = _render(TEMPLATES / f"{COMPOSE}{SUFFIX}", values)
    compose.write_text(add_block(compose.read_text(), name, block))
    return [*written, compose]


def _check_name(name: str, root: Path) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise BadNameError(f"{name!r} is no name: 2 to 20 lower-case letters and digits")
    for folder in (root / "services" / name, root / "protos" / "mamie_rosa" / name):
        if folder.exists():
            raise BadNameError(f"{folder.relative_to(root)} exists already")


def _target(template: Path, name: str) -> Path:
    """Return where a template is rendered to: `name` in its path is the service's."""
    relative = template.relative_to(TEMPLATES).with_suffix("")
    return Path(*(re.sub(r"^name(?=$|\.)", name, part) for part in relative.parts))


def _render(template: Path, values: dict[str, str]) -> str:
    return Template(template.read_text()).substitute(values)
