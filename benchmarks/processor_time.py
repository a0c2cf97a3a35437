"""Processor time of a process with everything that it started: threads, helpers, a Java machine."""

import os
import resource
import time
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def seconds() -> float:
    """User and system time so far of this process and of all its descendants, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + _of_living_descendants()


def _of_living_descendants() -> float:
    """In seconds, with those that the descendants have waited for."""
    ticks = sum(sum(map(int, fields[11:15])) for fields in living_descendants().values())
    return ticks / TICKS_PER_SECOND


def living_descendants() -> dict[int, list[str]]:
    """The fields of proc_pid_stat(5) from the third on, by process; empty where there is no Linux.

    Fields 11 and 12 are its own user and system time in ticks, 13 and 14 those of the processes
    that it has waited for, 19 is when it started.
    """
    found: dict[int, list[str]] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The second field is a name in brackets, which may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has just ended.
        found[int(folder.name)] = fields
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    ours: dict[int, list[str]] = {}
    waiting = [os.getpid()]
    while waiting:
        mine = children.get(waiting.pop(), [])
        ours.update((process, found[process]) for process in mine)
        waiting += mine
    return ours
