"""What AWS gives and refuses, as far as the simulation acts on it: a source for each figure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf


@dataclass(frozen=True)
class Limits:
    """Limits and delays of AWS in a region, or of a local cloud.

    Attributes:
        shard_records, shard_bytes: writes to a shard a second
            (https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html).
        shard_read_bytes: reads from a shard a second, of all mappings without fan-out together; the same page.
        shard_reads: GetRecords calls to a shard a second; the same page.
        split_share: share of a shard's capacity, over a minute, at which a stream in on-demand mode splits it, and
        split_s: how long that takes: "up to 15 minutes"
            (https://aws.amazon.com/blogs/big-data/amazon-kinesis-data-streams-on-demand-capacity-mode-now-scales-up-to-1-gb-second-ingest-capacity).
        on_demand_shards: what a new stream in on-demand mode has
            (https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html).
        poll_s: seconds between two reads of a shard by a mapping that has read all of it
            (https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html: "a base rate of once per second").
        told: whether a mapping reads at once when something arrives, and `poll_s` is the least time between two reads,
            as in the local cloud; else it reads every `poll_s`.
        fan_out_s: delay of a record with enhanced fan-out
            (https://docs.aws.amazon.com/streams/latest/dev/enhanced-consumers.html: "70 milliseconds on average").
        concurrency: of all functions of the account in a region
            (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
        scaling_per_10_s: environments by which a function can grow in 10 s
            (https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html).
        idle_s: how long an environment that is not used is kept. AWS does not document it; an assumption.
        cpu_mb: memory for which a function has a whole CPU
            (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html: 1,769 MB). 0: always a whole CPU.
        partition_writes, partition_reads: units a second of one partition of a table, and so of one key
            (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html).
        on_demand_writes, on_demand_reads: units a second that a new table in on-demand mode takes
            (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html).
        put_events: entries a second to the buses of the account, in us-east-1
            (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html).
        bus_invocations: targets a second, in us-east-1; the same page.
        bus_s: from PutEvents to the target. AWS documents no figure; the p90 that the AWS Architecture Blog reports
            ("... the event-driven architecture behind the Amazon Key Suite", 2026-02-04).
        table_stream_s: from a write to the table's stream. AWS says "near-real time"; an assumption.
        envelope_bytes: what EventBridge puts around an event.
    """

    shard_records: float = 1_000.0
    shard_bytes: float = 1024.0 * 1024.0
    shard_read_bytes: float = 2 * 1024.0 * 1024.0
    shard_reads: float = 5.0
    split_share: float = 0.5
    split_s: float = 900.0
    on_demand_shards: int = 4
    poll_s: float = 1.0
    told: bool = False
    fan_out_s: float = 0.07
    concurrency: float = 1_000.0
    scaling_per_10_s: float = 1_000.0
    idle_s: float = 600.0
    cpu_mb: float = 1_769.0
    partition_writes: float = 1_000.0
    partition_reads: float = 3_000.0
    on_demand_writes: float = 4_000.0
    on_demand_reads: float = 12_000.0
    put_events: float = 10_000.0
    bus_invocations: float = 18_750.0
    bus_s: float = 0.08
    table_stream_s: float = 0.1
    envelope_bytes: float = 300.0

    def cpu_share(self, memory_mb: float) -> float:
        """The share of a CPU that a function of one thread has."""
        return min(1.0, memory_mb / self.cpu_mb) if self.cpu_mb else 1.0


AWS = Limits()
"""The defaults of an account in us-east-1."""

LOCAL = replace(
    AWS,
    shard_records=inf,
    shard_bytes=inf,
    shard_read_bytes=inf,
    shard_reads=inf,
    on_demand_shards=1,
    poll_s=0.03,
    told=True,
    concurrency=inf,
    scaling_per_10_s=inf,
    idle_s=inf,
    cpu_mb=0.0,
    partition_writes=inf,
    partition_reads=inf,
    on_demand_writes=inf,
    on_demand_reads=inf,
    put_events=inf,
    bus_invocations=inf,
    bus_s=0.03,
    table_stream_s=0.0,
)
"""The local cloud: it refuses nothing, and tells mappings every 30 ms what has arrived (`ARRIVALS_APART`)."""
