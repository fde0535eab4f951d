"""Writes to AWS; one file for each service, each with operators that take requests from units of work."""
