"""Answers for a stage of AWS, as far as it can know: from lake, faults, tables, logs, X-Ray and what is deployed.

A stage has no journal. `lake` has the events, `rows` the items as they are now, `invocations` what functions have
logged. Which rules and filters take an event is computed from those that are deployed now. `answers` answers the
questions of `stream_cli.journal.questions` from all this, and says what it cannot answer.
"""
