"""Every reason is explained: in issues, in explain and in the code system."""

import pytest

from fhircryo.endpoints.reason_words import WHY
from fhircryo.publish.outcome import WORDS
from fhircryo.record.items import Reason


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_words(reason):
    assert WORDS.get(reason) or WHY.get(reason)


def test_words_fit_into_a_sentence():
    """Words of WORDS follow 'not used: ', those of WHY stand in a line of explain."""
    for words in (*WORDS.values(), *WHY.values()):
        assert not words.endswith(".")
        assert " his " not in f" {words} "
        assert " ours" not in words
