"""Rules of the function `trigger`."""

import logging

from stream_runtime.events import S3Record, UnitOfWork
from stream_runtime.faults import faulty
from stream_runtime.flavors import TaskRule, task

from fault_monitor.dal import ledger, metrics, objects
from fault_monitor.logic.faults import Counts, count

logger = logging.getLogger(__name__)


def measure(uow: UnitOfWork[S3Record]) -> dict[str, int]:
    """Count the faults of one object as metrics, once for each object, however often S3 notifies.

    Returns:
        ``{"faults", "unreadable"}``: the numbers of faults and of unreadable lines.

    Raises:
        ledger.BeingCounted: another invocation is counting the object; the notification is retried.
    """
    notified = objects.notified(uow["event"])
    with ledger.once(notified.identity) as first:
        if not first:
            return {"faults": 0, "unreadable": 0}
        try:
            counts = count(objects.lines(notified))
        except objects.ObjectIsGone as gone:
            logger.warning("%s: its faults cannot be counted", gone)
            counts = Counts(gone=1)
        metrics.put(counts, notified.created)
    return {"faults": counts.total, "unreadable": counts.unreadable}


RULES: list[TaskRule] = [
    {
        "id": "measure-faults",
        "flavor": task,
        "event_type": "object-created",
        "execute": faulty(measure, ignore=True),  # its fault would be in the next object, and fail again
        "result_key": "measured",
    },
]
