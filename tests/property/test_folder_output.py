"""The lines of a folder, made from templates, are those of the Observations made one by one."""

from hypothesis import given

from fhircryo.publish.provenance import provenance_id
from fhircryo.publish.shapes import ENCODER
from fhircryo.runs.in_memory import read_resources
from fhircryo.runs.publish_patients import folder_outputs, server_outputs
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from tests.property.strategies import AS_OF, patients
from tests.property.test_properties import MAPPINGS, OTHERS, PROTOCOL, many, protocols


@many
@given(patients(), protocols)
def test_both_forms_have_the_same_bytes(resources, protocol):
    config = RunConfig(MAPPINGS, protocol, AS_OF, Settings())
    read = read_resources([*resources, *OTHERS], config)
    context = config.publish_context
    in_folder, on_server = folder_outputs(context), server_outputs(context)
    for record in read.records.records.values():
        computed = config.endpoints(record, read.lacking)
        if computed is None:
            continue
        lines = in_folder(record, computed)
        shapes = on_server(record, computed)
        assert lines.observation_lines == ENCODER.encode_lines(shapes.observations)
        assert shapes.observations
        name = provenance_id(shapes.identifiers(), lines.observation_lines)
        shapes.provenance.id = name
        assert lines.provenance_line == ENCODER.encode(shapes.provenance) + b"\n"


def test_characters_that_templates_use_are_content_as_well():
    """A percent sign and NUL in ids, names and units do not disturb the templates."""
    names = {"base": "https://hospital.example/100%25/%b", "source_name": "100% \x00"}
    settings = Settings(**names)
    config = RunConfig(MAPPINGS, PROTOCOL, AS_OF, settings)
    procedure = {
        "resourceType": "Procedure",
        "id": "x%b",
        "status": "completed",
        "subject": {"reference": "Patient/p%s"},
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "55873"}]},
        "performedDateTime": "2016-01-10",
    }
    read = read_resources([procedure], config)
    context = config.publish_context
    (record,) = read.records.records.values()
    computed = config.endpoints(record, read.lacking)
    assert computed is not None
    lines = folder_outputs(context)(record, computed).observation_lines
    assert lines == ENCODER.encode_lines(server_outputs(context)(record, computed).observations)
    assert b"100% \\u0000" in lines
