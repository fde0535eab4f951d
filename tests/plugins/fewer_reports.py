"""A plugin of pytest: workers of pytest-xdist leave out what nobody is shown, as they do with collected files.

A test is three reports, each of which is sent and goes through all plugins twice; that of a set-up or teardown that has
passed at once is shown nowhere.
"""

import pytest

TOLD_FROM_S = 0.2  # may be one of the slowest durations


class WorkerReports:
    """Tells the reports of tests in place of xdist's own plugin of this process."""

    def __init__(self, own: object) -> None:
        self._tell = getattr(own, "pytest_runtest_logreport")  # noqa: B009

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed or report.duration >= TOLD_FROM_S:
            self._tell(report)


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    if type(plugin).__name__ == "WorkerInteractor":
        for hook in (manager.hook.pytest_runtest_logstart, manager.hook.pytest_runtest_logreport):
            hook._remove_plugin(plugin)
        manager.register(WorkerReports(plugin))
