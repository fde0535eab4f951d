"""What became of an event or of a key, in one timeline, and at its end what it waits for and why.

`timeline` asks the questions of `stream_cli.journal.questions`, and puts the lines into the order of cause and effect.
`reasons` finds what is waited for, with what `deployed` knows of functions, mappings and rules. `model` is what both
make, `view` shows it. `stage` answers the questions for a stage of AWS, as far as a stage can.
"""
