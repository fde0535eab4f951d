"""Writes to AWS, one file a service; each is an operator that takes requests from units of work."""
