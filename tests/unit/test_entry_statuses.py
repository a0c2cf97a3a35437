"""How servers write the status of an entry in the answer to a transaction."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.hospital import Reply, Seen
from tests.unit.stub_target import StubTarget
from tests.unit.test_target_kinds import KINDS, Site

Change = Callable[[dict[str, Any]], object]
#: The whole status line of HTTP; a number instead of a text; no location beside it.
STATUSES: dict[str, Change] = {
    "status line": lambda entry: entry.update(status=f"HTTP/1.1 {entry['status']}"),
    "number": lambda entry: entry.update(status=int(entry["status"][:3])),
    "no location": lambda entry: entry.pop("location"),
}


class Odd(StubTarget):
    """A target that writes the answers of transactions in a way of its own."""

    change: Change | None = None

    def _answer(self, seen: Seen) -> Reply:
        answer = super()._answer(seen)
        content = answer.content
        if self.change and isinstance(content, dict) and "transaction" in str(content.get("type")):
            for entry in content["entry"]:
                self.change(entry["response"])
        return answer


@pytest.fixture
def odd(request, tmp_path) -> Iterator[Site]:
    kind, change = request.param
    with Odd(KINDS[kind]()) as target:
        target.change = STATUSES[change]
        yield Site(target, tmp_path)


@pytest.mark.parametrize(
    "odd",
    [(kind, one) for kind in ("own ids", "conditional create") for one in STATUSES],
    indirect=True,
    ids=lambda one: f"{one[0]}, {one[1]}",
)
def test_the_write_is_known_to_have_succeeded(odd):
    odd.write()
    odd.check()
    odd.quiet()
