"""Paths of the data files that the package ships: mappings and the example cohort."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped(name: str) -> Path:
    """Return the path of a shipped folder, such as ``mappings`` or ``examples/bomers-2020``.

    In a wheel the folder is inside the package; in a checkout it is beside the package.
    """
    inside = _PACKAGE / "_data" / name
    return inside if inside.exists() else _PACKAGE.parent / name
