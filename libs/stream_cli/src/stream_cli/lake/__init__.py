"""The lake: what it holds, and replaying it."""
