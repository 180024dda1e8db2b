"""Normalises what people type, once, before a request is validated.

Texts of public requests get Unicode form NFC (an e with an accent is one character or two) and
lose the blanks around them, which keyboards and copying add. Texts that are secret get NFC alone:
the blanks of a password are its own. Email addresses get a domain in ASCII.
"""

from functools import cache
from unicodedata import normalize

from google.protobuf import message
from google.protobuf.descriptor import FieldDescriptor
from mamie_rosa.options.v1 import options_pb2

from services.common import email_addresses


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
                value[:] = [_normalized(text, field) for text in value]
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not _is_map(field):
            for element in value if field.is_repeated else (value,):
                normalize_texts(element)


def _replace(part: message.Message, field: FieldDescriptor, text: str) -> None:
    normalized = _normalized(text, field)
    if normalized != text:
        setattr(part, field.name, normalized)


def _normalized(text: str, field: FieldDescriptor) -> str:
    if text.isascii():
        return text if _is_secret(field) else text.strip()
    composed = normalize("NFC", text)
    if _is_secret(field):
        return composed
    stripped = composed.strip()
    return email_addresses.to_ascii(stripped) if _is_email(field) else stripped


@cache
def _is_secret(field: FieldDescriptor) -> bool:
    return field.GetOptions().debug_redact


@cache
def _is_email(field: FieldDescriptor) -> bool:
    return field.GetOptions().Extensions[options_pb2.is_email]


@cache
def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
