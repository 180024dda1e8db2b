"""Text as people type it, folded to words: without accents, ligatures and case.

Titles and descriptions are folded the same way, so "patee", "PÂTÉE" and the decomposed form of
"pâtée" are one word, and so are "chat" and "chats". A search matches the products that have every
one of its words, in any order; the last may be the beginning of a longer one. PostgreSQL gets
finished words: its own parser would take "500g" and "aux-chats" apart by rules of its own.
"""

import re
import unicodedata
from collections.abc import Iterator

WORD = re.compile(r"[^\W_]+")
LETTERS = str.maketrans(
    {"œ": "oe", "æ": "ae", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "\u0131": "i"}
)
"""Letters that Unicode does not decompose, in lower case."""

MAX_WORD_LENGTH = 100
"""Longer words are cut; a search text is not longer."""

MAX_WORDS = 10
"""How many words of a search count."""

SHORT = 2
"""Very many words begin with so many characters or fewer."""


def fold(text: str) -> str:
    """Fold a text to lower case without accents and ligatures."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = (letter for letter in decomposed if not unicodedata.combining(letter))
    return "".join(letters).casefold().translate(LETTERS)


def split_words(text: str) -> list[str]:
    """List the words of a text, folded and without the ending of a plural, in their order."""
    return [_singular(word[:MAX_WORD_LENGTH]) for word in WORD.findall(fold(text))]


def _singular(word: str) -> str:
    has_ending = len(word) > 3 and word[-1] in "sx" and word.isalpha()
    return word[:-1] if has_ending else word


def build_document(title: str, description: str) -> str:
    """Build the tsvector of a product; words of its title weigh more.

    PostgreSQL counts positions up to 16383 and keeps 256 of a word, so these are the first.
    """
    words = [*_weighted(title, "A"), *_weighted(description, "D")]
    positions: dict[str, list[str]] = {}
    for position, (word, weight) in enumerate(words[:16383], 1):
        positions.setdefault(word, []).append(f"{position}{weight}")
    return " ".join(f"'{word}':{','.join(places[:256])}" for word, places in positions.items())


def search_words(text: str) -> list[str]:
    """List the words of a search that count, each once.

    A single letter beside longer words, as in "l'os", does not.
    """
    words = list(dict.fromkeys(split_words(text)))[:MAX_WORDS]
    return [word for word in words if len(word) > 1 or word.isdigit()] or words


def build_query(text: str) -> str:
    """Build the tsquery of a search; empty when the text has no word.

    Only the last word, which may not be finished, is taken as a beginning: the index has to
    collect all words that begin with it, which costs several times as much as a whole word.
    """
    *before, last = search_words(text) or [""]
    terms = [f"'{word}'" for word in before]
    return " & ".join([*terms, f"'{last}':*"]) if last else ""


def _weighted(text: str, weight: str) -> Iterator[tuple[str, str]]:
    return ((word, weight) for word in split_words(text))
