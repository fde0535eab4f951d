"""The hub's own code: what comes in from outside becomes events on the bus."""
