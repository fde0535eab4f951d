"""Rules of the function `outbox`."""

from stream_runtime.flavors import OutboxRule, outbox

RULES: list[OutboxRule] = [
    {
        "id": "relay-messages",
        "flavor": outbox,
        "event_type": ["outbox-created", "outbox-updated"],
    },
]
