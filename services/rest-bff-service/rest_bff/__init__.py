"""The REST backend: stories by HTTP, views kept up to date by events, changes published as events."""
