"""Check the configuration of Prometheus and its alerts: `python -m scripts.monitoring.check`.

promtool reads the configuration, and runs the tests of the rules. Beyond that: each alert is
expected by one of these tests, has a section of the runbook that exists, and is listed there.
"""

import re
import subprocess
import sys
from collections.abc import Iterator

import yaml

from scripts.monitoring.queries import rules
from scripts.paths import ROOT
from scripts.stack.monitoring import SOURCES
from scripts.stack.prometheus_package import PrometheusMissingError, find_programs

RUNBOOK = ROOT / "docs" / "runbook.md"
COMMANDS = (
    ("check", "config", "prometheus.yml"),
    ("test", "rules", "rules_test.yml"),
)


def main() -> int:
    """Return 0 when all is well; otherwise print what is not."""
    try:
        promtool = find_programs()["promtool"]
    except PrometheusMissingError as error:
        print(error, file=sys.stderr)
        return 1
    problems = [*untested(), *without_section()]
    for command in COMMANDS:
        done = subprocess.run(
            [promtool, *command], cwd=SOURCES, capture_output=True, text=True, check=False
        )
        if done.returncode:
            problems.append(done.stdout + done.stderr)
    print(*(problems or ["deploy/prometheus: the rules and their tests are good"]), sep="\n")
    return 1 if problems else 0


def alerts() -> dict[str, str]:
    """Return the link to the runbook of each alert."""
    return {rule["alert"]: rule["annotations"]["runbook"] for rule in rules() if "alert" in rule}


def untested() -> Iterator[str]:
    """Yield the alerts that no test expects."""
    tests = yaml.safe_load((SOURCES / "rules_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    expected = {case["alertname"] for case in cases if case.get("exp_alerts")}
    for name in sorted(alerts().keys() - expected):
        yield f"no test expects the alert {name}"


def without_section() -> Iterator[str]:
    """Yield the alerts whose section of the runbook does not exist, or does not list them."""
    text = RUNBOOK.read_text()
    titles = {anchor(title) for title in re.findall(r"^## (.+)$", text, re.MULTILINE)}
    for name, link in alerts().items():
        section = link.removeprefix("docs/runbook.md#")
        if section not in titles:
            yield f"{name}: docs/runbook.md has no section {section}"
        if not re.search(rf"^\|.*`{name}`.*\(#{section}\) \|$", text, re.MULTILINE):
            yield f"docs/runbook.md does not list {name} beside the section {section}"


def anchor(title: str) -> str:
    """Return the anchor of a title, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    raise SystemExit(main())
