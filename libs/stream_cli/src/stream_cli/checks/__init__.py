"""Problems of a service's event source mappings on AWS, reported before it is deployed.

`streamctl check` reads the CloudFormation that `sls package` compiled, the resolved serverless.yml and the rules of the
functions. From what is read to what is reported:

    service/     the template, serverless.yml with its lines, and the functions' rules, as objects
    trials/      what the functions do with their fixtures, with AWS in memory
    registry     what a check is; `@check` gives a function its code, severity and texts
    kinds/       the checks, one function each, in one module for each kind of mistake
    findings     runs the checks; report (for a terminal), sarif (for code hosts), reference (CHECKS.md)
    command      `streamctl check`

A new check is a decorated function in a module of `kinds/`, with its test; `python -m stream_cli.checks.reference >
libs/stream_cli/CHECKS.md` adds it to the documentation.
"""
