"""Two versions of a schema: what a client may send must not shrink, nor what it can rely on."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]
Compare = Callable[[str, Schema, Schema], Iterator[str]]
LOWER_BOUNDS = ("minimum", "minLength", "minItems")
UPPER_BOUNDS = ("maximum", "maxLength", "maxItems")


class Changes:
    """Compares schemas of two documents."""

    def __init__(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self._before = before
        self._after = after
        self._compared: set[tuple[str, str, str]] = set()

    def old(self, described: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a reference of the old document means."""
        return _resolve(self._before, described)

    def new(self, described: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a reference of the new document means."""
        return _resolve(self._after, described)

    def resolve(
        self, before: Mapping[str, Any], after: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        """Return what two references mean."""
        return self.old(before), None if after is None else self.new(after)

    def narrowed(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        """Yield why a value that the old schema of a request accepts may be rejected."""
        yield from self._compare("narrowed", self._narrowed, where, before, after)

    def weakened(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        """Yield what the old schema of an answer promises and the new one does not."""
        yield from self._compare("weakened", self._weakened, where, before, after)

    def _compare(
        self, kind: str, compare: Compare, where: str, before: Schema, after: Schema
    ) -> Iterator[str]:
        """Compare each pair of components once: a schema may contain itself."""
        pair = (kind, before.get("$ref", ""), after.get("$ref", ""))
        if pair[1] and pair in self._compared:
            return
        self._compared.add(pair)
        old, new = self.old(before), self.new(after)
        if _types(old) - _types(new) if kind == "narrowed" else _types(new) - _types(old):
            yield f"{where} is of another type now"
        else:
            yield from compare(where, old, new)

    def _narrowed(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        yield from _narrowed_rules(where, old, new)
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{where}.{name} is required now"
        for name, schema in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}.{name} was removed"
            else:
                yield from self.narrowed(f"{where}.{name}", schema, new["properties"][name])
        if "items" in old:
            yield from self.narrowed(f"{where}[]", old["items"], new["items"])

    def _weakened(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        for name in sorted(set(old.get("required", ())) - set(new.get("required", ()))):
            if name in new.get("properties", {}):
                yield f"{where}.{name} may be left out now"
        for name, schema in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}.{name} was removed"
            else:
                yield from self.weakened(f"{where}.{name}", schema, new["properties"][name])
        if "items" in old:
            yield from self.weakened(f"{where}[]", old["items"], new["items"])


def _narrowed_rules(where: str, old: Schema, new: Schema) -> Iterator[str]:
    for name in LOWER_BOUNDS:
        if name in new and new[name] > old.get(name, float("-inf")):
            yield f"{where}: {name} is {new[name]} now"
    for name in UPPER_BOUNDS:
        if name in new and new[name] < old.get(name, float("inf")):
            yield f"{where}: {name} is {new[name]} now"
    for name in ("pattern", "format", "not"):
        if name in new and new[name] != old.get(name):
            yield f"{where}: {name} is {new[name]!r} now"
    if "enum" in new and (lost := set(old.get("enum", ())) - set(new["enum"])):
        yield f"{where} is never {', '.join(sorted(lost))} now"
    if "enum" in new and "enum" not in old:
        yield f"{where} is one of {', '.join(new['enum'])} now"


def _types(schema: Schema) -> set[str]:
    if "anyOf" in schema:
        return {_types_of_reference(each) for each in schema["anyOf"]}
    found = schema.get("type")
    return {found} if found else set()


def _types_of_reference(schema: Schema) -> str:
    return str(schema.get("$ref") or schema.get("type"))


def _resolve(document: Mapping[str, Any], described: Mapping[str, Any]) -> Mapping[str, Any]:
    if reference := described.get("$ref"):
        found: Mapping[str, Any] = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found
    return described
