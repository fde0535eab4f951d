"""The control service waits for the parts of an item and publishes when they are complete or missing for too long."""
