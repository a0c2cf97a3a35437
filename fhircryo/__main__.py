"""``python -m fhircryo``."""

from fhircryo.cli.main import run

if __name__ == "__main__":
    run()
