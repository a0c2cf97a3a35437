"""The process of a command: ``fhircryo`` and ``python -m fhircryo``."""

from fhircryo.cli.standard_streams import check_streams
from fhircryo.cli.stopping import stopped_by_signals


def run() -> None:
    """Run the command line in a process of its own, and exit.

    The signals are handled before the other modules are imported, which takes a moment.
    """
    check_streams()
    with stopped_by_signals():
        from fhircryo.cli.main import run as run_command

        run_command()


if __name__ == "__main__":
    run()
