"""The event lake: lists, prints and replays its events."""
