"""The control service: it waits for the parts of an item, and tells when they are complete or never came."""
