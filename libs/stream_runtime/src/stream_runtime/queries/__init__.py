"""Reads from AWS; one file for each service."""
