"""The tasks of one unit of work, in parallel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stream_runtime import settings

from .flow import Operator
from .operators import rx_effect
from .retry import classify
from .scheduling import in_key_order


def multitask(
    tasks_field: str = "tasks",
    task_field: str = "task",
    params_field: str = "params",
    result_field: str = "result",
    parallel: int | None = None,
) -> Operator:
    """An operator that calls the functions in a field of each unit of work at once; units without any pass.

    A task that fails for good has its error among the results. If one fails for the time being, as with throttling,
    the record is left for retry, and all of its tasks come again.

    Args:
        tasks_field: where the tasks are: ``[{"task": function, "params"?: [argument, ...]}, ...]``.
        task_field: where a task has its function.
        params_field: where it has the function's arguments.
        result_field: where the results, in the order of the tasks, are put.
        parallel: tasks at once; PARALLEL by default.
    """

    def run_all(uow: Any) -> Any:
        if not uow.get(tasks_field):
            return uow
        tasks = [(task[task_field], task.get(params_field) or ()) for task in uow[tasks_field]]
        results: list[Any] = [None] * len(tasks)

        def run_one(number: int) -> None:
            results[number] = _result_of(uow, *tasks[number])

        in_key_order([()] * len(tasks), run_one, parallel or settings.PARALLEL.read())
        for result in results:
            if isinstance(result, Exception) and classify(result) != "poison":
                raise result
        return {**uow, result_field: results}

    return rx_effect(run_all)


def _result_of(uow: Any, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """What a task returns or raises. Its thread holds the unit of work that the task's log lines are about."""
    try:
        return function(*arguments)
    except Exception as error:
        return error
