"""A HAPI server for a person: ``python -m tests.server.run_hapi [--load FOLDER] [--port N]``.

It stays until Ctrl-C; its data are in memory and gone then.
"""

import argparse
import signal
import sys
from pathlib import Path

from tests.server.hapi import HapiServer, HapiUnavailable
from tests.server.loading import load


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A HAPI FHIR server, until Ctrl-C.")
    parser.add_argument("--load", type=Path, metavar="FOLDER", help="put this NDJSON folder there")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--max-page", type=int, default=50, help="matches on a page at most")
    parser.add_argument("--fhir", choices=["R4", "R5"], default="R4")
    return parser.parse_args()


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Start, load, wait."""
    options = _options()
    signal.signal(signal.SIGTERM, _stop)
    print("starting HAPI (the first time it is fetched: 400 MB) ...", file=sys.stderr)
    try:
        server = HapiServer.start(
            port=options.port, max_page=options.max_page, default_page=20, fhir=options.fhir
        )
    except HapiUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    with server:
        if options.load is not None:
            loaded = load(server.url, options.load)
            print(f"{loaded.total} resources loaded in {loaded.seconds:.0f} s", file=sys.stderr)
        print(server.url, flush=True)
        print(f"its log: {server.log}; Ctrl-C ends it", file=sys.stderr)
        try:
            signal.pause()
        except KeyboardInterrupt:
            server.log.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
