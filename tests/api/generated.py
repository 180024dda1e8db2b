"""Requests that hypothesis generates from the OpenAPI document: valid and nearly valid ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.api.canonical import Judge, Schema

Strategy = st.SearchStrategy[Any]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
MAX_SEGMENT = 64
"""Of a path whose rule is a pattern."""
NEARLY = ("", " ", "\0", "x" * 300, "é" * 64, "\u2028", "a/b", "-1", "0.001", "1e3", "NULL", "<b>")
EMAILS = st.from_regex(r"\A[a-z0-9.+_-]{1,20}@[a-z0-9]{1,12}\.(example|test)\Z")
INSTANTS = st.from_regex(r"\A20[0-9]{2}-0[1-9]-[12][0-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9]Z\Z")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One request: values of the path and the query, headers, and a body or none."""

    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Any = None
    by_admin: bool = False


class Generator:
    """Generates cases of operations; `known` are values that exist, by the names of fields."""

    def __init__(self, judge: Judge, known: Mapping[str, Sequence[str]]) -> None:
        self._judge = judge
        self._known = known

    def cases(self, operation: Mapping[str, Any]) -> st.SearchStrategy[Case]:
        """Return a strategy for an operation."""
        given = [each for each in operation.get("parameters", ()) if "$ref" not in each]
        path = {
            each["name"]: self.path_value(each["schema"]) for each in given if is_in(each, "path")
        }
        query = {
            each["name"]: self.value(each["schema"], each["name"]) | self.nearly(each["schema"])
            for each in given
            if is_in(each, "query")
        }
        body: Strategy = st.none()
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            body = self.value(schema, "") | self.nearly(schema) | self.nearly(schema)
        unknown = st.sampled_from([{}, {}, {}, {"colour": "red"}] if not path else [{}])
        return st.builds(
            lambda path, query, more, body, admin: Case(
                path=path, query=query | more, body=body, by_admin=admin
            ),
            st.fixed_dictionaries(path),
            st.fixed_dictionaries({}, optional=query),
            unknown if "requestBody" not in operation else st.just({}),
            body,
            st.integers(0, 9).map(lambda number: number == 0),
        )

    def path_value(self, schema: Schema) -> Strategy:
        """Return a strategy for a segment of a path: mostly of something that exists."""
        segment = st.text(CHARACTERS, min_size=1, max_size=schema.get("maxLength", MAX_SEGMENT) + 1)
        return st.sampled_from(self._known["path"]) | segment.filter(
            lambda text: not set(text) & set("/\\") and text not in (".", "..")
        )

    def value(self, schema: Schema, name: str) -> Strategy:
        """Return a strategy for values that a schema accepts."""
        described = self._judge.resolve(schema)
        match described["type"]:
            case "object":
                return self._object(described)
            case "array":
                most = min(described["maxItems"], 3)
                least = described.get("minItems", 0)
                return st.lists(self.value(described["items"], name), min_size=least, max_size=most)
            case "integer":
                accepted = st.integers(described["minimum"], described["maximum"])
                return accepted.filter(lambda number: self._judge.accepts(described, number))
            case "boolean":
                return st.booleans()
        found = text(described)
        return st.sampled_from(self._known[name]) | found if name in self._known else found

    def _object(self, schema: Schema) -> Strategy:
        required = set(schema.get("required", ()))
        parts = {name: self.value(part, name) for name, part in schema["properties"].items()}
        return st.fixed_dictionaries(
            {name: part for name, part in parts.items() if name in required},
            optional={name: part for name, part in parts.items() if name not in required},
        )

    def nearly(self, schema: Schema) -> Strategy:
        """Return a strategy for values of which one part may break its rule."""
        described = self._judge.resolve(schema)
        match described["type"]:
            case "object":
                return self._nearly_object(described)
            case "array":
                item = self.nearly(described["items"]) | st.none()
                long = self.value(described["items"], "").map(lambda one: [one] * 51)
                return st.lists(item, min_size=1, max_size=2) | long | st.just([]) | st.none()
            case "integer":
                near = [
                    described["minimum"] - 1,
                    described["maximum"] + 1,
                    0,
                    "1",
                    "one",
                    1.5,
                    2**40,
                ]
                return st.sampled_from([*near, None])
            case "boolean":
                return st.sampled_from([True, None, {}, "perhaps"])
        return st.sampled_from([*NEARLY, None]) | text(described)

    def _nearly_object(self, schema: Schema) -> Strategy:
        names = list(schema["properties"])
        if not names:
            return st.sampled_from([{}, {"colour": "red"}])

        def change(valid: Mapping[str, Any], name: str) -> Strategy:
            changed = self.nearly(schema["properties"][name]).map(lambda new: {**valid, name: new})
            without = {key: value for key, value in valid.items() if key != name}
            return changed | changed | st.sampled_from([without, {**valid, "colour": "red"}])

        pairs = st.tuples(self._object(schema), st.sampled_from(names))
        return pairs.flatmap(lambda pair: change(*pair))


def text(schema: Schema) -> Strategy:
    """Return a strategy for texts that a schema accepts."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    special: dict[str, Callable[[], Strategy]] = {
        "email": lambda: EMAILS,
        "date-time": lambda: INSTANTS,
        "uri-reference": lambda: st.sampled_from(
            ["", "/a.jpg", "https://a.example/b?c=d#e", "a b"]
        ),
    }
    if found := special.get(schema.get("format", "")):
        return found()
    least, most = schema.get("minLength", 0), schema.get("maxLength", 100)
    pattern = schema.get("pattern", "")
    if r"\u0000" not in pattern and pattern:
        return st.from_regex(pattern.replace("$", r"\Z"), fullmatch=False).filter(
            lambda value: least <= len(value) <= most
        )
    short = st.text(CHARACTERS, min_size=least, max_size=min(most, 40))
    return short | st.sampled_from(["x" * most, "é" * most])


def is_in(parameter: Mapping[str, Any], place: str) -> bool:
    """Return whether a parameter is in the path, or in the query."""
    return bool(parameter["in"] == place)
