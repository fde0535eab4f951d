"""`python -m stream_cli.mappings` is `streamctl mappings`."""

from stream_cli.mappings.command import app

app(prog_name="streamctl mappings")
