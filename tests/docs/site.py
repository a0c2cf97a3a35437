"""Builds the documentation as ``make docs`` does, into a folder of a test."""

from pathlib import Path

from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parents[2]


def build_site(folder: Path) -> None:
    """Build the site strictly: a link or an anchor that does not resolve is an error."""
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
