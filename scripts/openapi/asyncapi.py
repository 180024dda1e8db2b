"""The AsyncAPI document: the integration events that services publish on the bus."""

import re
from typing import Any

from scripts.openapi.protos import Protos
from scripts.openapi.schemas import Schemas
from services.common.messaging.rabbitmq import CONTENT_TYPE, EVENT_LOG, EXCHANGE

EVENTS = "mamie_rosa.events.v1"
PUBLISHER = re.compile(r"From (\w+)[;,] the subject is ([^.]+)\.")
DESCRIPTION = f"""\
What the services publish. Each event is a CloudEvent (1.0) in binary mode: its attributes are \
headers with the prefix `cloudEvents_`, its body is the message, serialized as protobuf. The \
exchange `{EXCHANGE}` routes by type; the stream `{EVENT_LOG}` keeps every event, to be replayed \
from the start. An event arrives at least once, and in order for one subject: consumers store its \
id. The schemas show the JSON form of the messages."""


def asyncapi(protos: Protos) -> dict[str, Any]:
    """Return the document of all events: those messages whose comment names their publisher."""
    schemas = Schemas(protos)
    events = {
        name: found
        for name in protos.package(EVENTS)
        if (found := PUBLISHER.search(protos.comment(name)))
    }
    messages = {_short(name): _message(name, protos, schemas) for name in events}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Mamie Rosa: events",
            "version": "1",
            "license": {"name": "Apache-2.0"},
            "description": DESCRIPTION,
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {
            _short(name): _channel(name, found[2], protos) for name, found in events.items()
        },
        "operations": {
            f"publish{_short(name)}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{_short(name)}"},
                "title": found[1],
                "summary": f"{found[1]} publishes it.",
            }
            for name, found in events.items()
        },
        "components": {"messages": messages, "schemas": dict(sorted(schemas.components.items()))},
    }


def _channel(name: str, subject: str, protos: Protos) -> dict[str, Any]:
    return {
        "address": name,
        "description": protos.comment(name),
        "messages": {_short(name): {"$ref": f"#/components/messages/{_short(name)}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": EXCHANGE, "type": "topic"}}},
        "x-subject": subject,
    }


def _message(name: str, protos: Protos, schemas: Schemas) -> dict[str, Any]:
    return {
        "name": name,
        "summary": protos.comment(name).split(". ")[0] + ".",
        "contentType": CONTENT_TYPE,
        "payload": schemas.reference(name),
    }


def _short(name: str) -> str:
    return name.rpartition(".")[2]
