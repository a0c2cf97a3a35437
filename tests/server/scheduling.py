"""Shares the tests of this folder out: ``-p tests.server.scheduling --dist loadgroup``.

Tests share a server, so those of a file stay together; two groups of files go to two workers. The
tests of Spark share one Spark in the same way, and some files what their tests have in common.

pytest-xdist 3.8 does not see the groups under pytest 9.2: the group was told by a suffix of the
test's id, which can no longer be set there. This goes by the folder instead.
"""

from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_SPARK = PurePosixPath("tests/spark")
_FOLDER = PurePosixPath("tests/server")
#: About half of the time that this folder takes, with all that needs the server of small pages.
_SECOND = frozenset(
    {
        *("test_target.py", "test_source.py", "test_doctor.py", "test_hapi_itself.py"),
        *("test_demo_server.py", "test_demo_sync.py", "test_notebook.py", "test_survey.py"),
    }
)


#: Files whose tests share what takes long to make: apart, each worker would make it.
_WHOLE = frozenset(
    {
        *("tests/acceptance/test_wheel.py", "tests/browser/test_report.py"),
        *("tests/unit/test_pool.py", "tests/docs/test_site.py"),
    }
)


class ServersOnTwoWorkers(LoadScopeScheduling):
    """Each test goes where there is room; those that share a server go together."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        if file.is_relative_to(_SPARK):
            return str(_SPARK)
        if not file.is_relative_to(_FOLDER):
            return str(file) if str(file) in _WHOLE else nodeid
        return f"{_FOLDER} {'second' if file.name in _SECOND else 'first'}"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ServersOnTwoWorkers | None:
    """Schedule in this way where groups were asked for."""
    return ServersOnTwoWorkers(config, log) if config.getvalue("dist") == "loadgroup" else None
