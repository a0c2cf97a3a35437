"""The versions of FHIR that a server may have: read, written, or neither."""

import re
from pathlib import Path

import fhir.resources
import fhir.resources.R4B
import pytest

from fhircryo.errors import SourceError
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.settings import ServerSettings
from tests.unit.hospital import STATEMENT, Reply, Stub


def stated(version: str | None) -> Capabilities:
    """What a server that states this version can do."""
    with Stub() as server:
        server.routes["/fhir/metadata"] = lambda _: Reply(
            content={**STATEMENT, "fhirVersion": version}
        )
        with open_client(f"{server.origin}/fhir", ServerSettings(retry_budget=0.0)) as client:
            return capabilities(client)


@pytest.mark.parametrize(
    "version, r5",
    [("4.0.0", False), ("4.0.1", False), ("4.3.0", False), ("5.0.0", True), ("5.0.0-ballot", True)],
)
def test_the_form_in_which_it_is_written(version, r5):
    assert stated(version).is_r5 is r5


@pytest.mark.parametrize("version", ["1.0.2", "3.0.2", "4.1.0", "4.6.0", "50.0.0", "6.0.0", None])
def test_others_are_refused(version):
    words = (
        rf"FHIR {version or 'of no stated version'} is not supported; supported are R4 .* and R5"
    )
    with pytest.raises(SourceError, match=words):
        stated(version)


@pytest.mark.parametrize("module", [fhir.resources, fhir.resources.R4B], ids=["R5", "R4B"])
def test_every_resource_type_is_known(module):
    """By the source text of the models, since importing all of them takes long."""
    defined = re.compile(
        r"^class (\w+)\((?:domainresource\.DomainResource|resource\.Resource)\)", re.M
    )
    texts = (file.read_text("utf-8") for file in Path(module.__file__).parent.glob("*.py"))
    names = {name for text in texts for name in defined.findall(text)}
    names -= {"DomainResource", "CanonicalResource", "MetadataResource"}  # abstract
    assert len(names) > 135
    assert names <= KNOWN_TYPES
