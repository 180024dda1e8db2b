"""What scripts/doctor finds: a check, what it saw, and the cure."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from itertools import chain

CONCURRENT_CHECKS = 8


class Level(Enum):
    """How bad a finding is: WRONG alone makes the exit status 1."""

    GOOD = "good"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """What a check saw; one that is not good names its cure."""

    check: str
    level: Level
    text: str
    cure: str = ""

    def __post_init__(self) -> None:
        """Reject a finding that leaves its reader without a cure."""
        if (self.level is Level.GOOD) == bool(self.cure):
            raise ValueError(f"{self.check}: what is not good, and that alone, has a cure")


def good(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Level.GOOD, text)


def warning(check: str, text: str, cure: str) -> Finding:
    """Return what will become wrong, or is wrong in part."""
    return Finding(check, Level.WARNING, text, cure)


def wrong(check: str, text: str, cure: str) -> Finding:
    """Return what does not work."""
    return Finding(check, Level.WRONG, text, cure)


Check = Callable[[], Iterable[Finding]]


def run_checks(checks: Sequence[Check]) -> list[Finding]:
    """Run checks at the same time, so that a part that hangs delays no other, in their order."""
    with ThreadPoolExecutor(CONCURRENT_CHECKS) as pool:
        return list(chain.from_iterable(pool.map(lambda check: list(check()), checks)))
