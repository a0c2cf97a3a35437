"""Sends all tests of this folder to one worker: ``-p tests.server.scheduling --dist loadgroup``.

pytest-xdist 3.8 does not see the groups under pytest 9.2: the group was told by a suffix of the
test's id, which can no longer be set there. This goes by the folder instead.
"""

from pathlib import PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

_FOLDER = PurePosixPath("tests/server")


class ServerOnOneWorker(LoadScopeScheduling):
    """Each test goes where there is room; those that share a server go together."""

    def _split_scope(self, nodeid: str) -> str:
        file = PurePosixPath(nodeid.partition("::")[0])
        return str(_FOLDER) if file.is_relative_to(_FOLDER) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ServerOnOneWorker | None:
    """Schedule in this way where groups were asked for."""
    return ServerOnOneWorker(config, log) if config.getvalue("dist") == "loadgroup" else None
