"""Reads the words of a file: of names, of texts that people read, of log events.

A name is an identifier or a file's name, split at underscores and capitals; a text is a
docstring, a comment or a paragraph of a document. Strings, and code in a document, are data:
they are not read, but for log events.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
HASH_COMMENT = re.compile(r"(?:^|\s)#(?!!)(.*)")
SLASH_COMMENT = re.compile(r"//(.*)")
LUA_COMMENT = re.compile(r"--(.*)")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")


class Said(NamedTuple):
    """Something that a file says: a name, a text or a log event, and where."""

    kind: str
    text: str
    line: int

    @property
    def words(self) -> list[str]:
        """Return its words in lower case; those of a name are split."""
        return [word.lower() for word in WORD.findall(self.text)]

    @property
    def is_prose(self) -> bool:
        """Return whether people read it as a sentence, as they read the name of a test."""
        return self.kind in {"docstring", "comment", "document"} or self.text.startswith("test_")


def read(path: Path) -> Iterator[Said]:
    """Yield what a file says; nothing for a kind of file that is not known."""
    text = path.read_text()
    if path.suffix == ".py":
        yield from said_in_python(path.stem, text)
    elif path.suffix == ".md":
        yield from _document(text)
    elif pattern := _comment_pattern(path, text):
        yield from _comments(pattern, text)


def said_in_python(name: str, text: str) -> Iterator[Said]:
    """Yield the names, docstrings, log events and comments of a module."""
    yield Said("name", name, 1)
    for node in ast.walk(ast.parse(text)):
        yield from _docstring(node)
        yield from _log_event(node)
        line = getattr(node, "lineno", 1)
        yield from (Said("name", found, line) for found in _names(node))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield Said("comment", token.string, token.start[0])


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name
        case ast.Name():
            yield node.id
        case ast.Attribute():
            yield node.attr
        case ast.arg() | ast.keyword():
            yield node.arg or ""
        case ast.alias():
            yield node.asname or node.name
        case ast.ExceptHandler() | ast.MatchAs():
            yield node.name or ""


def _docstring(node: ast.AST) -> Iterator[Said]:
    """Yield the texts that stand alone: docstrings, and those of constants and attributes."""
    for child in getattr(node, "body", ()) if isinstance(getattr(node, "body", 0), list) else ():
        match child:
            case ast.Expr(value=ast.Constant(value=str() as text)):
                yield from _paragraphs(text, child.lineno)


def _paragraphs(text: str, line: int) -> Iterator[Said]:
    for paragraph in text.split("\n\n"):
        yield Said("docstring", " ".join(paragraph.split()), line)
        line += paragraph.count("\n") + 2


def _log_event(node: ast.AST) -> Iterator[Said]:
    match node:
        case ast.Call(
            func=ast.Attribute(attr=method), args=[ast.Constant(value=str() as event), *_]
        ) if method in LOG_METHODS:
            yield Said("log event", event, node.lineno)


def _document(text: str) -> Iterator[Said]:
    """Yield the paragraphs and the rows of the tables of a document."""
    without_code = INLINE_CODE.sub("", BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text))
    paragraph: list[str] = []
    for number, line in enumerate([*without_code.splitlines(), ""], 1):
        if not line or line.startswith("|"):
            if paragraph:
                yield Said("document", " ".join(paragraph), number - len(paragraph))
            paragraph = []
        if line.startswith("|"):
            yield Said("document", line, number)
        elif line:
            paragraph.append(line)


def _comment_pattern(path: Path, text: str) -> re.Pattern[str] | None:
    if path.suffix == ".proto":
        return SLASH_COMMENT
    if path.suffix == ".lua":
        return LUA_COMMENT
    is_shell = path.suffix == "" and text.startswith("#")
    return HASH_COMMENT if is_shell or path.suffix in {".yaml", ".conf"} else None


def _comments(pattern: re.Pattern[str], text: str) -> Iterator[Said]:
    """Yield the comments; those of neighbouring lines are one text."""
    block: list[str] = []
    begins = 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if found := pattern.search(line):
            begins = begins or number
            block.append(found[1].strip())
        elif block:
            yield Said("comment", " ".join(block), begins)
            block, begins = [], 0
