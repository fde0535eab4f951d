"""The demo: a news feed travels through the five services on a local cloud. `python -m demo --help`."""
