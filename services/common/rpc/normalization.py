"""Normalises what people type, once, before a request is validated.

Texts of public requests get Unicode form NFC (an e with an accent is one character or two) and
lose the blanks around them, which keyboards and copying add. Texts that are secret get NFC alone:
the blanks of a password are its own.
"""

from functools import cache
from unicodedata import normalize

from google.protobuf import message
from google.protobuf.descriptor import FieldDescriptor


def is_typed_by_people(method: str) -> bool:
    """Return whether a method is public: what services send each other is normalised already."""
    return ".v1." in method and ".internal." not in method


def normalize_texts(part: message.Message) -> None:
    """Normalise every text in a message; the keys and values of maps stay as they are."""
    for field, value in part.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            if not field.is_repeated:
                _replace(part, field, value)
            else:
                value[:] = [_normalized(text, secret=_is_secret(field)) for text in value]
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not _is_map(field):
            for element in value if field.is_repeated else (value,):
                normalize_texts(element)


def _replace(part: message.Message, field: FieldDescriptor, text: str) -> None:
    normalized = _normalized(text, secret=_is_secret(field))
    if normalized != text:
        setattr(part, field.name, normalized)


def _normalized(text: str, *, secret: bool) -> str:
    composed = text if text.isascii() else normalize("NFC", text)
    return composed if secret else composed.strip()


@cache
def _is_secret(field: FieldDescriptor) -> bool:
    return field.GetOptions().debug_redact


@cache
def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
