"""What would go wrong with a service's event source mappings on AWS, told before it is deployed.

`streamctl check` reads the CloudFormation that `sls package` compiled, the resolved serverless.yml behind it and the
rules of the functions, and reports findings. From what is read to what is said:

    references   CloudFormation's intrinsic functions as symbols that can be compared
    template     the compiled template as functions, mappings, roles, streams, tables, queues, topics
    packaged     what `sls package` leaves, serverless.yml's lines, a function's rules
    deployment, loss, blocking, firing, waste, roles      the checks, one small function each
    catalogue    the one table of all checks: code, severity, title, why, fix
    findings     findings, and how they are told to people, programs and code hosts
"""
