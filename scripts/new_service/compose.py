"""Adds a service with a PostgreSQL store to the text of compose.yaml."""

import re

BEFORE = re.compile(r"(?=(?:  #[^\n]*\n)*  stores-prepare:\n)")
LAST_OF_TASK = re.compile(r"(?s)(.*?\n  stores-prepare:\n.*?\n    secrets:\n(?:    - [^\n]*\n)+)")
LAST_SECRET = re.compile(r"(?s)(.*\n  \w+-store-url: \{file: [^\n]*\}\n)")


def add_block(text: str, name: str, block: str) -> str:
    """Return the text with the block of a service and the secret that its store needs."""
    secret = f"{name}-store-url"
    text = BEFORE.sub(lambda _: block, text, count=1)
    text = LAST_OF_TASK.sub(lambda found: f"{found[1]}    - {secret}\n", text, count=1)
    entry = f"  {secret}: {{file: .secrets/{secret}}}\n"
    return LAST_SECRET.sub(lambda found: found[1] + entry, text, count=1)
