"""Reads from AWS, one file a service."""
