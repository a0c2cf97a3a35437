"""Puts resources onto the server of the tests, as ``fhircryo hapi --load`` does."""

from fhircryo.setup.hapi.loading import (
    _ENCODER,
    RefusedLoad,
    load,
    post,
    read_folder,
    transaction,
)

__all__ = ["_ENCODER", "RefusedLoad", "load", "post", "read_folder", "transaction"]
