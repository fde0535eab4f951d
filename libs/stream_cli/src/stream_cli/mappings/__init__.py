"""The mapping engine: runs the event source mappings of an endpoint's Kinesis and DynamoDB streams as AWS does.

`settings`, `records`, `filters`, `outcomes`, `shard` and `failures` are the behaviour, without I/O or clocks. `ports`
names the AWS operations that the engine needs, and `aws` implements them. `worker` runs a shard, `runner` a mapping,
`engine` all of them. `checkpoints` and `status` are the state folder, `command` the command line.
"""
