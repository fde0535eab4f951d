"""`python -m stream_cli.mappings`: the same as `streamctl mappings`."""

from stream_cli.mappings.command import app

app(prog_name="streamctl mappings")
