"""What a run of the fluid simulation writes down in each second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_cli.plan.arrangement import Arrangement
from stream_cli.plan.slots import SLOTS

Recorded = npt.NDArray[np.float32]


@dataclass
class Recording:
    """What happened in each second. R rows: `SLOTS` groups of lanes for each mapping.

    Attributes:
        volume: of each kind, shape `(T, K)`.
        arrived, served, backlog: records of one lane, shape `(T, R)`.
        record_s: mean seconds for a record of what waits, shape `(T, R)`.
        lanes: how many lanes a row has, shape `(T, R)`.
        done: records that mappings finished, shape `(T, M, K)`.
        offered: that their filters kept; the same shape.
        requests: records of direct invocations, shape `(T, D)`; `refused`: those that got no environment.
        held: share of the lanes' work that concurrency allows, shape `(T, M)`.
        shards, hottest, throttled, waiting, utilisation: of each stream, shape `(T, streams)`.
    """

    volume: Recorded
    arrived: Recorded
    served: Recorded
    backlog: Recorded
    record_s: Recorded
    lanes: Recorded
    done: Recorded
    offered: Recorded
    requests: Recorded
    refused: Recorded
    held: Recorded
    table_throttled: Recorded
    shards: Recorded
    throttled: Recorded
    waiting: Recorded
    utilisation: Recorded

    @classmethod
    def empty(cls, given: Arrangement) -> Recording:
        t, k, m = len(given.outside), len(given.kinds), len(given.mappings)
        r, d, s, n = m * SLOTS, len(given.direct), len(given.system.streams), len(given.system.tables)

        def series(*shape: int) -> Recorded:
            return np.zeros((t, *shape), dtype=np.float32)

        return cls(
            volume=series(k),
            arrived=series(r),
            served=series(r),
            backlog=series(r),
            record_s=series(r),
            lanes=series(r),
            done=series(m, k),
            offered=series(m, k),
            requests=series(d),
            refused=series(d),
            held=series(m),
            table_throttled=series(n),
            shards=series(s),
            throttled=series(s),
            waiting=series(s),
            utilisation=series(s),
        )
