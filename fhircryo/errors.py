"""The exceptions that fhircryo raises, and the exit code of each.

Exit codes: 0 done; 1 a bug; 2 usage or settings; 3 source unreachable or refused;
4 done, but something was unreadable; 5 the target rejected something; 6 another run holds the lock;
7 stopped before it was done.
"""

DONE = 0
BUG = 1
UNREADABLE = 4
REJECTED = 5
STOPPED = 7


class FhircryoError(Exception):
    """A problem that the user can solve; the message says what, where and what to do."""

    exit_code = BUG


class UsageError(FhircryoError):
    """An argument, a setting, a mapping or a protocol is wrong."""

    exit_code = 2


class SourceError(FhircryoError):
    """The source does not exist, cannot be reached or refuses to be read."""

    exit_code = 3


class SignInError(SourceError):
    """The server or its token endpoint does not accept our credentials."""


class TargetError(FhircryoError):
    """The target cannot be reached, or rejects what is written to it."""

    exit_code = REJECTED


class LockedError(FhircryoError):
    """Another run holds the lock, for example because it writes to the same target."""

    exit_code = 6


class UnreadableResource(Exception):
    """A resource that cannot be read as FHIR; it is counted and reported, and the run continues."""
