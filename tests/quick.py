"""What makes tests quick that run the program in their own process: shipped files are read once.

Reading and indexing them takes most of the time of a test of one patient. A site's overlays, and
files that a test lays in the place of the shipped ones, are read each time.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

from fhircryo.mapping import load
from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.mapping.yamlfile import Document, read_document
from fhircryo.settings import DEFAULT_BASE
from fhircryo.setup.survey import search_words
from fhircryo.setup.terminology import descriptions
from fhircryo.storage.shipped_files import shipped

_read_once = cache(read_document)
_loaded_once = cache(load_mappings)


def _read_shipped_once(path: Path) -> Document:
    return _read_once(path) if path.is_relative_to(shipped("mappings")) else read_document(path)


def _load_shipped_once(overlays: Iterable[Path] = (), base: str = DEFAULT_BASE) -> Mappings:
    given = tuple(overlays)
    if given or load.shipped is not shipped:
        return load_mappings(given, base)
    return _loaded_once(base=base)


@contextmanager
def shipped_files_read_once() -> Iterator[None]:
    """Parse each shipped file once in this process, and make the mappings without overlays once.

    Neither is ever changed: overlays are applied to what is merged anew.
    """
    with ExitStack() as stack:
        for module in (load, search_words, descriptions):
            stack.enter_context(mock.patch.object(module, "read_document", _read_shipped_once))
        ours = [module for name, module in sys.modules.items() if name.startswith("fhircryo.")]
        for module in ours:
            if vars(module).get("load_mappings") is load_mappings:
                stack.enter_context(mock.patch.object(module, "load_mappings", _load_shipped_once))
        yield
