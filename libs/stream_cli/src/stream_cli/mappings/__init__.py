"""The mapping engine: executes the event source mappings of an endpoint's Kinesis and DynamoDB streams as AWS does.

`settings`, `records`, `filters`, `outcomes`, `shard` and `failures` are the behaviour, plain code without I/O or
clocks; `ports` names what the engine needs from outside and `aws` provides it; `checkpoints` and `status` keep the
state folder; `engine` runs it all and `command` is the command line.
"""
