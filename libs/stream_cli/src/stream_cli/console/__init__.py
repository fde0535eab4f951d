"""The console: what happens in a stage, in a browser on this machine.

`application` answers, `guard` stands before it, `page` is what the browser loads: ES modules without a build step.
`python -m stream_cli.console` is a process of the local cloud.
"""
