"""How long to wait before another attempt.

Without jitter: the waits are AWS's for one shard, or those of a single process against one endpoint, and the engine
must stay predictable for its tests.
"""


def backoff_s(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after 1, 2, ... failures in a row: `first`, then twice as long each time, at most `longest`."""
    return min(longest, first * 2.0 ** min(failures - 1, 30))
