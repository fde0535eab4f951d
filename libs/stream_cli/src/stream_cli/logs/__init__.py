"""The log lines of functions, read by the Logs API: of the local cloud and of a stage on AWS.

`reading` reads log groups, and follows them; `entries` makes of each event what people read; `command` shows it.
"""
