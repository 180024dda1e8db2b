"""One word for one concept: no name, text or log event has a word that the glossary bans.

Banned are the words in **bold** in the third column of docs/glossary.md; the other words of
that column are advice, too common to be banned. `client` is banned where it means a person:
see `means_a_person`.
"""

import re
import subprocess

import pytest

from scripts.paths import ROOT
from tests.house.words import Said, read, said_in_python

GLOSSARY = ROOT / "docs" / "glossary.md"
AMBIGUOUS = {"client", "clients"}
SKIPPED = re.compile(
    r"/migrations/|^protos/mamie_rosa/catalog\.proto$|^deploy/locks/|^docs/glossary\.md$"
)
"""Schema history, the contract that is kept as its owner wrote it, and the words themselves."""

TECHNICAL_FOLDERS = re.compile(
    r"^(services/(common|control_plane|orders/tracking)|scripts/(stack|edge|protos|openapi|containers)"
    r"|tests/(api|edge|compose|support|house)|envoy|consul|deploy|docs/edge.md)(/|$)"
)
"""There are no customers here: a client is always a program."""

BUSINESS_MODULES = re.compile(
    r"^services/(users|catalog|payments|recommendations|notifications|storefront)/"
    r"|^services/\w+/(\w+/)?(domain|states|events|errors|integration_events)\.py$"
)
"""No driver object is called a client here, so no name has the word."""

LIBRARY_NAMES = re.compile(r"client_?(interceptor|call_?details|error)|smtp_?client", re.IGNORECASE)
TECHNICAL_NAMES = re.compile(
    r"^_?clients?$"
    r"|(async|mongo|redis|http|httpx|grpc|rpc|rest|consul|smtp|envoy|mesh|bolt|docker|amqp)_?clients?"
    r"|(catalog|orders|payments|promotions|users|upstream)_clients?"
    r"|client_?(session|timeout|interceptor|call_?details|streaming|properties|error|channel|idle|kill|id$)",
    re.IGNORECASE,
)
TECHNICAL_WORDS = re.compile(
    r"\b(grpc|rpc|rest|http\w*|xds|sse|envoy|edge|proxy|browsers?|drivers?|mongo\w*|redis|consul"
    r"|smtp|ip|sockets?|channels?|stubs?|interceptors?|connections?|transcod\w*|streams?"
    r"|programs?|generated|compiled|connects?|methods?|client of the \w+ service)\b",
    re.IGNORECASE,
)


def banned_words() -> set[str]:
    """Return the words in bold in the third column of the glossary."""
    rows = [line.split("|") for line in GLOSSARY.read_text().splitlines() if line.startswith("|")]
    return {word for row in rows for word in re.findall(r"\*\*(\w+)\*\*", row[3])}


STORED_NAMES = re.compile(r":Client\b|label Client\b|demo-client-\w*")
"""What docs/decisions/0010-names.md keeps, where a text names it."""

BANNED = banned_words()
ANY_BANNED = re.compile("|".join(BANNED), re.IGNORECASE)


def means_a_person(said: Said, path: str) -> bool:
    """Return whether "client" is somebody who buys: a program has a word of technology near."""
    if TECHNICAL_FOLDERS.match(path):
        return False
    if said.is_prose:
        return not TECHNICAL_WORDS.search(said.text.replace("_", " "))
    if BUSINESS_MODULES.match(path):
        return not re.search(
            r"client_?(interceptor|call_?details|error)|smtp_?client", said.text, re.I
        )
    return not TECHNICAL_NAMES.search(said.text)


def violations(path: str, everything: list[Said]) -> list[str]:
    """Return what is wrong in a file, each as "file:line kind: word in text"."""
    found = []
    for original in everything:
        said = original._replace(text=STORED_NAMES.sub("", original.text))
        for word in sorted(BANNED & set(said.words)):
            if word not in AMBIGUOUS or means_a_person(said, path):
                found.append(f"{path}:{said.line} {said.kind}: {word!r} in {said.text!r}")
    return list(dict.fromkeys(found))


def files() -> list[str]:
    """Return the files that git knows or would add, with words that we choose."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    shown = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in shown.splitlines() if not SKIPPED.search(name)]


def area(path: str) -> str:
    """Return the part of the project that a file belongs to."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] in {"services", "tests"} and parts[2:] else parts[0]


def areas() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in files():
        found.setdefault(area(path), []).append(path)
    return found


AREAS = areas()


@pytest.mark.parametrize("paths", AREAS.values(), ids=AREAS)
def test_no_banned_word_is_used(paths: list[str]):
    wrong = [line for path in paths for line in violations_in(path)]
    assert wrong == [], f"{len(wrong)} words that docs/glossary.md bans"


def violations_in(path: str) -> list[str]:
    file = ROOT / path
    if (
        not file.exists()
        or file.suffix in {".png", ".json", ".binpb", ".woff2"}
        or "vendor" in file.parts
    ):
        return []
    if not ANY_BANNED.search(file.read_text()) and not ANY_BANNED.search(path):
        return []  # quick: most files have none
    return violations(path, list(read(file)))


def test_the_glossary_bans_words():
    assert {"told", "tell", "others", "away", "client"} <= BANNED


@pytest.mark.parametrize(
    "line",
    [
        "class Others: ...",
        "def tell(event): ...",
        "def run(*, others): ...",
        "self.told = None",
        'log.warning("store_away")',
        "x = 1  # nobody is told",
        '"""Return the client\'s orders."""',
        "client_ids = []",
        "def test_a_client_lists_their_orders(): ...",
    ],
)
def test_a_banned_word_is_found(line: str):
    assert violations("services/orders/checkout.py", list(said_in_python("checkout", line)))


@pytest.mark.parametrize(
    "line",
    [
        'reason = "SOMETHING_AWAY"',
        "client = MongoClient(url)",
        '"""Customers have the label Client: (:Client {user_id})."""',
        '"""Return a gRPC client of the catalog."""',
        "def test_a_grpc_client_may_watch_too(): ...",
        "sent = storytelling()",
    ],
)
def test_other_words_are_left_alone(line: str):
    assert not violations("services/orders/checkout.py", list(said_in_python("checkout", line)))


def test_a_domain_knows_no_client():
    said = list(said_in_python("domain", "client = 1"))
    assert violations("services/orders/domain.py", said)
