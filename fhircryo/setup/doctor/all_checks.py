"""All checks of the doctor: of this machine, of the source and of the target."""

from collections.abc import Iterator
from pathlib import Path

from fhircryo.fhir.connect import WRITING, open_client
from fhircryo.publish.target_server import target_settings
from fhircryo.runs.run_config import RunConfig
from fhircryo.setup.doctor.check import CheckResult
from fhircryo.setup.doctor.check_folder import source_folder_checks, target_folder_check
from fhircryo.setup.doctor.check_installation import installation_checks
from fhircryo.setup.doctor.check_source import source_checks
from fhircryo.setup.doctor.check_target import target_checks
from fhircryo.sources.places import server_of


def all_checks(
    source: str | None, target: str | None, config: RunConfig, *, write_device: bool = False
) -> Iterator[CheckResult]:
    """Check the installation, and the source and the target if they are given.

    ``source``, ``target``: a folder or the base URL of a FHIR server; None: not checked.
    ``write_device``: write the Device to a server that is the target, and nothing else.

    Raises:
        UsageError: the settings of a server contradict each other.
    """
    yield from installation_checks(config.settings, config)
    if source is not None and server_of(source) is not None:
        with open_client(source, config.settings.source) as client:
            yield from source_checks(client, config)
    elif source is not None:
        yield from source_folder_checks(Path(source), config)
    if target is not None and server_of(target) is not None:
        server = source if source is not None and server_of(source) is not None else None
        settings = target_settings(server, target, config.settings)
        with open_client(target, settings, WRITING) as client:
            yield from target_checks(client, config, write_device=write_device)
    elif target is not None:
        folder = Path(source) if source is not None and server_of(source) is None else None
        yield target_folder_check(Path(target), folder)
