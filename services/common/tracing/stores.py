"""The spans of calls to stores: what kind of statement, on which table; never its values."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from services.common.context import current
from services.common.tracing import spans
from services.common.tracing.spans import Kind, Span, ending

_OPERATION = re.compile(r"(?:SELECT|INSERT|UPDATE|DELETE|WITH|SET|LOCK)\b", re.IGNORECASE)
# Behind FROM there may be a function.
_TABLE = re.compile(
    r"\b(?:(?:INTO|UPDATE)\s+([a-z_]{1,40})|FROM\s+([a-z_]{1,40})\b(?!\s*\())", re.IGNORECASE
)


def begin_operation(system: str, name: str, collection: str = "") -> Span | None:
    """Begin an operation of a store within the current call; None unless that is recorded."""
    attributes = {
        "db.system.name": system,
        "db.operation.name": name,
        "db.collection.name": collection,
    }
    return spans.begin(f"{name} {collection or system}", Kind.CLIENT, attributes)


@contextmanager
def operation(system: str, name: str) -> Iterator[None]:
    """Run a block as an operation of a store within the current call."""
    begun = begin_operation(system, name)
    if begun is None:
        yield
        return
    with ending(begun):
        yield


def begin_statement(system: str, statement: str) -> Span:
    """Begin an SQL statement within the current call, which is recorded."""
    begun = begin_operation(system, *summarize(statement))
    assert begun, current()
    return begun


@lru_cache(maxsize=512)
def summarize(statement: str) -> tuple[str, str]:
    """Return the operation of an SQL statement and its first table, empty without one."""
    verb, table = _OPERATION.search(statement), _TABLE.search(statement)
    return (
        verb[0].upper() if verb else "STATEMENT",
        (table[1] or table[2]).lower() if table else "",
    )
