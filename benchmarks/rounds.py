"""Contenders that do the same, round by round, and how their medians compare."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


def nothing() -> None:
    """Nothing has to be prepared."""


@dataclass(frozen=True)
class Contender:
    """Who does it. ``run`` gives how many were read or written; ``goal``: of ours against it."""

    name: str
    run: Callable[[], int]
    goal: float = 0.0
    prepare: Callable[[], None] = nothing


@dataclass
class Rates:
    """A contender's rates, per second, by round; and its own processor time, in seconds."""

    contender: Contender
    rates: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rates)

    @property
    def spread(self) -> float:
        """How far apart slowest and fastest round are, against the median."""
        return (max(self.rates) - min(self.rates)) / self.median


def alternate(contenders: Sequence[Contender], rounds: int, expected: int) -> list[Rates]:
    """Time all contenders in every round, each round another of them first.

    A first round is not counted: servers warm up, modules are imported.

    Raises:
        AssertionError: a contender read or wrote more or less than ``expected``.
    """
    found = [Rates(one) for one in contenders]
    for number in range(-1, rounds):
        start = number % len(found)
        for rates in found[start:] + found[:start]:
            rates.contender.prepare()
            before, worked = time.perf_counter(), time.process_time()
            count = rates.contender.run()
            seconds, worked = time.perf_counter() - before, time.process_time() - worked
            assert count == expected, f"{rates.contender.name}: {count}, not {expected}"
            if number >= 0:
                rates.rates.append(count / seconds)
                rates.processor.append(worked)
                print(
                    f"  round {number + 1}: {rates.contender.name} {count / seconds:.0f}/s",
                    flush=True,
                )
    return found


def print_table(title: str, found: Sequence[Rates]) -> None:
    """Medians, and ours (the first) against each of the others: ratio, goal, met or not."""
    ours = found[0]
    print(f"\n{title}; medians of {len(ours.rates)} rounds")
    print(
        f"  {'':<16} {'per second':>10} {'spread':>7} {'own CPU':>8}   fhircryo's rate against it"
    )
    for rates in found:
        line = f"  {rates.contender.name:<16} {rates.median:>10.0f} {rates.spread:>7.0%}"
        line += f" {statistics.median(rates.processor):>6.2f} s"
        print(line if rates is ours else f"{line}   {_verdict(ours, rates)}")


def _verdict(ours: Rates, other: Rates) -> str:
    ratio = statistics.median(
        mine / theirs for mine, theirs in zip(ours.rates, other.rates, strict=True)
    )
    goal = other.contender.goal
    return f"{ratio:.2f} (goal >= {goal}: {'met' if ratio >= goal else 'MISSED'})"
