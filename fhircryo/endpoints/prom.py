"""Patient-reported outcome measures (PROMs): scores at the time points and their changes."""

from datetime import date, datetime
from functools import cache

import msgspec

from fhircryo.calendar import add_days, add_months, moment
from fhircryo.endpoints.catalogue import PROM_CHANGE, PROM_SCORE
from fhircryo.endpoints.result import Component, Evidence, Part, Result, Role
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.record.items import Issue, Reason, Response, Score


class Window(msgspec.Struct, frozen=True):
    """A time point's first and last day, and the day it aims at (the last, for the baseline)."""

    name: str
    first: date
    target: date
    last: date


class Scored(msgspec.Struct, gc=False):
    """A scored response of one instrument, and the day it was filled in."""

    response: Response
    score: Score
    day: date


def windows(protocol: Protocol, d0: date) -> list[Window]:
    """The time points' windows in order of time, the baseline first."""
    found = []
    for name, point in protocol.time_points.items():
        if point.days_before is not None:
            found.append(Window(name, add_days(d0, -point.days_before), d0, d0))
        elif point.from_ is not None and point.to is not None and point.target is not None:
            first, target, last = (
                add_months(d0, months) for months in (point.from_, point.target, point.to)
            )
            found.append(Window(name, first, target, last))
    return sorted(found, key=lambda window: window.first)


def prom_endpoints(line: Timeline) -> list[Result]:
    """Scores, then changes, of the instruments that were answered, by instrument and time."""
    points = windows(line.protocol, line.d0)
    competing = _competing(line)
    results: list[Result] = []
    chosen: set[str] = set()
    for instrument in sorted(competing):
        scores: dict[str, Scored] = {}
        for window in points:
            best = _nearest(competing[instrument], window)
            if best is not None:
                scores[window.name] = best
                chosen.add(best.response.ref)
        results += _results(line, instrument, points, scores)
    _tell_unchosen(line, points, chosen)
    # Scores before changes; the sort is stable, so instruments and time points keep their order.
    results.sort(key=lambda result: result.endpoint.order)
    return results


def _competing(line: Timeline) -> dict[str, list[Scored]]:
    """By instrument the scored responses, one per day, that exist by as-of."""
    found: dict[str, dict[date, Scored]] = {}
    death = line.day_of_death
    last = line.as_of if death is None else min(line.as_of, death)
    replaced = _replaced(line.record.responses)
    for response in line.record.responses:
        day = response.when.first
        if response.ref in replaced:
            continue
        if day > last:
            continue
        for score in response.scores:
            if score.problem is not None:
                continue
            scored = Scored(response, score, day)
            days = found.setdefault(score.instrument, {})
            other = days.get(day)
            if other is None or _precedence(scored) > _precedence(other):
                days[day] = scored
    return {instrument: list(days.values()) for instrument, days in found.items()}


def _precedence(scored: Scored) -> tuple[bool, str, int, str]:
    """Of responses of one day: the questionnaire, the later time as written, amended, the id."""
    response = scored.response
    return (not response.observed, response.when.order[1], -response.rank, response.ref)


def _replaced(responses: list[Response]) -> dict[str, str]:
    """Scores recorded as Observations that another of the same moment stands for, and which.

    As of PSA results: corrected before amended before final, a usable before an unusable one, the
    later issued, the later updated, the greater id.
    """

    def precedence(response: Response) -> tuple[int, bool, datetime, datetime, str]:
        usable = response.scores[0].problem is None
        issued, updated = moment(response.issued), moment(response.updated)
        return (-response.rank, usable, issued, updated, response.ref)

    moments: dict[tuple[str, tuple[date, str]], list[Response]] = {}
    for response in responses:
        if response.observed:
            key = (response.scores[0].instrument, response.when.order)
            moments.setdefault(key, []).append(response)
    found = {}
    for same in moments.values():
        winner = max(same, key=precedence)
        found.update({one.ref: winner.ref for one in same if one is not winner})
    return found


def _nearest(scored: list[Scored], window: Window) -> Scored | None:
    """The one nearest the target in days, the earlier on a tie."""
    first, last = window.first, window.last
    within = [one for one in scored if first <= one.day <= last]
    if len(within) <= 1:
        return within[0] if within else None
    return min(within, key=lambda one: (abs((one.day - window.target).days), one.day))


def _results(
    line: Timeline, instrument: str, points: list[Window], scores: dict[str, Scored]
) -> list[Result]:
    results = []
    baseline = scores.get(BASELINE)
    for window in points:
        scored = scores.get(window.name)
        if scored is None:
            continue
        final = line.as_of > window.last
        time_point = _time_point(window.name)
        evidence = _evidence(Role.SCORE, scored)
        results.append(
            Result(
                PROM_SCORE,
                scored.day,
                scored.day,
                final=final,
                value=scored.score.value,
                instrument=instrument,
                time_point=window.name,
                components=(time_point,),
                evidence=(evidence,),
            )
        )
        if baseline is None or window.name == BASELINE:
            continue
        before = baseline.score.value
        results.append(
            Result(
                PROM_CHANGE,
                scored.day,
                scored.day,
                final=final,
                value=scored.score.value - before,
                instrument=instrument,
                time_point=window.name,
                components=(time_point, Component(Part.BASELINE_SCORE, before)),
                evidence=(_evidence(Role.BASELINE_SCORE, baseline), evidence),
            )
        )
    return results


@cache
def _time_point(name: str) -> Component:
    return Component(Part.TIME_POINT, name)


def _evidence(role: Role, scored: Scored) -> Evidence:
    return Evidence(role, scored.response.ref, scored.score.value, scored.day)


def _tell_unchosen(line: Timeline, points: list[Window], chosen: set[str]) -> None:
    """Why the responses that no time point took are not used, and what is odd about the others."""
    replaced = _replaced(line.record.responses)
    for response in line.record.responses:
        if not line.measured(response.ref, response.when):
            continue
        if response.ref in replaced:
            detail = f"by {replaced[response.ref]}, of the same moment"
            line.tell(response.ref, Reason.SUPERSEDED, detail)
            continue
        if response.ref not in chosen:
            line.notices.append(_why_unchosen(response, points))
            continue
        for score in response.scores:
            if score.mismatch:
                detail = f"{score.instrument}: the items decide"
                line.tell(response.ref, Reason.SCORE_MISMATCH, detail, used=True)
            if score.problem is not None and score.detail:
                detail = f"{score.instrument}: {score.detail}"
                line.tell(response.ref, score.problem, detail, used=True)


def _why_unchosen(response: Response, points: list[Window]) -> Issue:
    failed = [score for score in response.scores if score.problem is not None]
    if len(failed) == len(response.scores):
        worst = min(failed, key=lambda score: score.problem is not Reason.INVALID_ITEM)
        detail = f"{worst.instrument}: {worst.detail}"
        return Issue(response.ref, worst.problem or Reason.INVALID_ITEM, detail)
    day = response.when.first
    for window in points:
        if window.first <= day <= window.last:
            detail = f"another response is the one of {window.name}"
            return Issue(response.ref, Reason.SUPERSEDED, detail)
    return Issue(response.ref, Reason.OUTSIDE_WINDOW, "in no time point's window")
