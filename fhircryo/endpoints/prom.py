"""Patient-reported outcome measures (PROMs): scores at the time points and their changes."""

from datetime import date, datetime
from functools import cache

import msgspec

from fhircryo.calendar import add_days, add_months, moment
from fhircryo.endpoints.catalogue import PROM_CHANGE, PROM_SCORE
from fhircryo.endpoints.result import ComponentKey, Evidence, Result, ResultComponent, Role
from fhircryo.endpoints.timeline import Timeline
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.record.items import Issue, Reason, Response, Score


class Window(msgspec.Struct, frozen=True):
    """The window of a time point; the target of the baseline is D0."""

    name: str
    first: date
    target: date
    last: date


class Scored(msgspec.Struct, gc=False):
    """A response with its score of one instrument, and its date."""

    response: Response
    score: Score
    day: date


def windows(protocol: Protocol, d0: date) -> list[Window]:
    """Return the windows of the time points in order of time, the baseline first."""
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


def prom_endpoints(timeline: Timeline) -> list[Result]:
    """Return all ``prom-score`` results, then all ``prom-change`` results.

    Both are in order of instrument and time point.
    """
    time_points = windows(timeline.protocol, timeline.d0)
    scored_responses = _scored_responses(timeline)
    results: list[Result] = []
    chosen: set[str] = set()
    for instrument in sorted(scored_responses):
        scores: dict[str, Scored] = {}
        for window in time_points:
            best = _nearest(scored_responses[instrument], window)
            if best is not None:
                scores[window.name] = best
                chosen.add(best.response.ref)
        results += _results(timeline, instrument, time_points, scores)
    _report_responses(timeline, time_points, chosen)
    # Scores before changes; the sort is stable, so instruments and time points keep their order.
    results.sort(key=lambda result: result.endpoint.order)
    return results


def _scored_responses(timeline: Timeline) -> dict[str, list[Scored]]:
    """Return the scored responses by instrument: those up to as-of and death, one per day."""
    found: dict[str, dict[date, Scored]] = {}
    death = timeline.day_of_death
    last = timeline.as_of if death is None else min(timeline.as_of, death)
    superseded = _superseded(timeline.record.responses)
    for response in timeline.record.responses:
        day = response.when.first
        if response.ref in superseded:
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
    """Return the precedence of a response among those of the same instrument and date.

    Ascending: a questionnaire before an Observation, the later time as written, amended before
    completed, the greater id.
    """
    response = scored.response
    return (not response.observed, response.when.order[1], -response.rank, response.ref)


def _superseded(responses: list[Response]) -> dict[str, str]:
    """Return the superseded scores recorded as Observations, with the one that supersedes each.

    The rules are those of PSA results of the same date and time: corrected before amended before
    final; then a usable before an unusable one, the later ``issued``, the later
    ``meta.lastUpdated``, the greater id.
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
    """Return the response in the window that is nearest the target; on a tie the earlier one."""
    first, last = window.first, window.last
    within = [one for one in scored if first <= one.day <= last]
    if len(within) <= 1:
        return within[0] if within else None
    return min(within, key=lambda one: (abs((one.day - window.target).days), one.day))


def _results(
    timeline: Timeline, instrument: str, time_points: list[Window], scores: dict[str, Scored]
) -> list[Result]:
    results = []
    baseline = scores.get(BASELINE)
    for window in time_points:
        scored = scores.get(window.name)
        if scored is None:
            continue
        final = timeline.as_of > window.last
        time_point = _time_point(window.name)
        marks = _marks(scored)
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
                components=(time_point, *marks),
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
                components=(
                    time_point,
                    ResultComponent(ComponentKey.BASELINE_SCORE, before),
                    *_marks(scored, baseline),
                ),
                evidence=(_evidence(Role.BASELINE_SCORE, baseline), evidence),
            )
        )
    return results


def _marks(*scored: Scored) -> tuple[ResultComponent, ...]:
    """Return the marks of scores, such as ``no-intercourse``, each once."""
    marks = dict.fromkeys(mark for one in scored for mark in one.score.marks)
    return tuple(ResultComponent(mark, True) for mark in sorted(marks))


@cache
def _time_point(name: str) -> ResultComponent:
    return ResultComponent(ComponentKey.TIME_POINT, name)


def _evidence(role: Role, scored: Scored) -> Evidence:
    return Evidence(role, scored.response.ref, scored.score.value, scored.day)


def _report_responses(timeline: Timeline, time_points: list[Window], chosen: set[str]) -> None:
    """Report why responses are not used, and mismatches and problems of those that are."""
    superseded = _superseded(timeline.record.responses)
    for response in timeline.record.responses:
        if not timeline.measured(response.ref, response.when):
            continue
        if response.ref in superseded:
            detail = f"by {superseded[response.ref]}, of the same moment"
            timeline.report(response.ref, Reason.SUPERSEDED, detail)
            continue
        if response.ref not in chosen:
            timeline.issues.append(_why_not_chosen(response, time_points))
            continue
        for score in response.scores:
            if score.mismatch:
                detail = f"{score.instrument}: the items decide"
                timeline.report(response.ref, Reason.SCORE_MISMATCH, detail, used=True)
            if score.problem is not None and score.detail:
                detail = f"{score.instrument}: {score.detail}"
                timeline.report(response.ref, score.problem, detail, used=True)


def _why_not_chosen(response: Response, time_points: list[Window]) -> Issue:
    failed = [score for score in response.scores if score.problem is not None]
    if len(failed) == len(response.scores):
        worst = min(failed, key=lambda score: score.problem is not Reason.INVALID_ITEM)
        detail = f"{worst.instrument}: {worst.detail}"
        return Issue(response.ref, worst.problem or Reason.INVALID_ITEM, detail)
    day = response.when.first
    for window in time_points:
        if window.first <= day <= window.last:
            detail = f"another response is the one of {window.name}"
            return Issue(response.ref, Reason.SUPERSEDED, detail)
    return Issue(response.ref, Reason.OUTSIDE_WINDOW, "in no time point's window")
