"""The errors a user can meet, and the exit code of each.

Exit codes: 0 done; 1 a bug; 2 usage or settings; 3 source unreachable or refused;
4 done, but something was unreadable; 5 the target rejected something; 6 another run holds the lock.
"""

DONE = 0
BUG = 1
UNREADABLE = 4
REJECTED = 5


class FhircryoError(Exception):
    """What a user can mend: the message says what, where and what to do."""

    exit_code = BUG


class UsageError(FhircryoError):
    """A wrong argument, setting, mapping or protocol."""

    exit_code = 2


class SourceError(FhircryoError):
    """The source is not there or refuses to be read."""

    exit_code = 3


class SignInError(SourceError):
    """The server, or its token endpoint, does not let us in."""


class TargetError(FhircryoError):
    """The target rejects what is written to it, or cannot be reached."""

    exit_code = REJECTED


class LockedError(FhircryoError):
    """Another run writes to the same target."""

    exit_code = 6


class UnreadableResource(Exception):
    """One resource that cannot be read as FHIR; counted and reported, never fatal."""
