"""Rules of the function `outbox`."""

from stream_runtime.flavors import outbox

RULES = [
    {
        "id": "relay-messages",
        "flavor": outbox,
        "event_type": ["outbox-created", "outbox-updated"],
    },
]
