"""The REST backend: items by HTTP, views kept up to date by events, changes published as events."""
