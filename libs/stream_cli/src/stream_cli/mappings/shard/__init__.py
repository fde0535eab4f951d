"""One mapping on one shard: which records go into which invocation, when, and what happens after it.

No I/O and no clock: the owner passes in the records, the time, and the outcomes of the actions that it is given.

    processor.offer(records, now)         records read from the shard, in order, including filtered ones
    processor.step(now) -> [action, ...]  `Attempt`: invoke the function; `GivenUp`: tell the on-failure destination
    processor.settle(id, outcome, now)    the outcome of an attempt
    processor.delivered(id)               the destination has been told
    processor.deadline()                  when to step again if nothing arrives
    processor.checkpoint                  up to where everything is done

The rules are those of the AWS Lambda developer guide on stream mappings. Where the guide leaves a choice:

- A batch window begins when the first record of the batch is read, in each lane.
- Records older than the limit are given up from the front of a batch; the younger ones behind them go on.
- A split (bisect) is tried at once: in the middle, or at the reported sequence number if a partial failure names one
  behind the first record. So a batch of several records is never retried unchanged.
- What a partial failure leaves is a fresh batch: it is tried at once, and its retries are counted from the beginning.
  Retries are what follows an attempt that finished nothing.
- The final invocation of a tumbling window includes the rest of its records if they fit into one batch.
"""

from .actions import PAYLOAD_LIMIT, STATE_LIMIT, Action, Attempt, Checkpoint, Counters, GivenUp
from .processor import ShardProcessor

__all__ = [
    "PAYLOAD_LIMIT", "STATE_LIMIT", "Action", "Attempt", "Checkpoint", "Counters", "GivenUp", "ShardProcessor",
]  # fmt: skip
