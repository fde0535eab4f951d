"""The control service waits for the parts of a story and publishes when they are complete or missing for too long."""
