"""Looks at what `uv.lock` brings along; a part of `make lint`.

    python -m tests.audit

Each package comes from a registry, with hashes. None is of a version with an advisory that stands
below. Where a source of advisories can be reached, pip-audit asks it for all that a user installs;
where none can, as in a closed network, that is said, and the list below is what was reviewed.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "uv.lock"
#: Where pip-audit asks; another one by the environment.
ADVISORIES = os.environ.get("ADVISORIES_URL") or "https://api.osv.dev/v1/query"
PIP_AUDIT = "pip-audit==2.10.1"
_REACHED_SECONDS = 3.0

Lock = dict[str, Any]


class Reviewed(NamedTuple):
    """The first version in which what an advisory tells of is mended."""

    mended: str
    advisory: str


#: When the list below was gone through.
REVIEWED_ON = "2026-11-26"
#: Of packages that meet what comes from outside; the newest advisory that is known of each.
REVIEWED = {
    "certifi": Reviewed("2024.7.4", "CVE-2024-39689: an authority that is not trusted any more"),
    "cryptography": Reviewed("44.0.1", "CVE-2024-12797: OpenSSL, raw public keys"),
    "filelock": Reviewed("3.20.3", "CVE-2026-22701: a link in the place of a lock file"),
    "fonttools": Reviewed("4.60.2", "CVE-2025-66034: files written elsewhere"),
    "idna": Reviewed("3.7", "CVE-2024-3651: time without end"),
    "jinja2": Reviewed("3.1.6", "CVE-2025-27516: a way out of the sandbox"),
    "joserfc": Reviewed("1.4.2", "CVE-2025-65015: large tokens in errors"),
    "pillow": Reviewed("11.3.0", "CVE-2025-48379: a buffer overflow"),
    "pyarrow": Reviewed("14.0.1", "CVE-2023-47248: code in data files"),
    "pydantic": Reviewed("2.4.0", "CVE-2024-3772: time without end"),
    "pyyaml": Reviewed("5.4", "CVE-2020-14343: code in YAML"),
    "requests": Reviewed("2.32.4", "CVE-2024-47081: credentials of .netrc to others"),
    "urllib3": Reviewed("2.7.0", "CVE-2026-44432: more unpacked than was asked for"),
}


def version(text: str) -> tuple[int, ...]:
    """A release as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", text))


def problems(lock: Lock) -> list[str]:
    """What is wrong with a lock, a line each."""
    found = []
    for package in lock["package"]:
        name, source = package["name"], package["source"]
        if "editable" in source:
            continue
        if "registry" not in source:
            found.append(f"{name}: not from a registry")
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        if not files or not all(one.get("hash", "").startswith("sha256:") for one in files):
            found.append(f"{name}: without a hash")
        reviewed = REVIEWED.get(name)
        if reviewed and version(package["version"]) < version(reviewed.mended):
            found.append(f"{name} {package['version']}: {reviewed.advisory}; {reviewed.mended}")
    return found


def reached(url: str) -> bool:
    """Whether anybody answers there."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    try:
        with socket.create_connection((parts.hostname or "", port), _REACHED_SECONDS):
            return True
    except OSError:
        return False


def ask(url: str) -> int:
    """Have pip-audit ask for what a user installs; its exit code."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        export = [uv, "export", "--quiet", "--locked", "--no-dev", "--no-emit-project"]
        subprocess.run([*export, "--output-file", str(wanted)], check=True, cwd=ROOT)
        audit = [uv, "tool", "run", "--quiet", PIP_AUDIT, "--requirement", str(wanted)]
        audit += ["--require-hashes", "--disable-pip", "--progress-spinner", "off"]
        audit += ["--vulnerability-service", "osv", "--osv-url", url]
        return subprocess.run(audit, check=False).returncode


def main() -> int:
    """0 where nothing is known against what is locked."""
    found = problems(tomllib.loads(LOCK.read_text(encoding="utf-8")))
    for problem in found:
        print(f"uv.lock: {problem}", file=sys.stderr)
    if found:
        return 1
    if not reached(ADVISORIES):
        print(
            "Audit: no source of advisories can be reached from here; uv.lock was compared with"
            f" those of {REVIEWED_ON} only (tests/audit.py)"
        )
        return 0
    return ask(ADVISORIES)


if __name__ == "__main__":
    sys.exit(main())
