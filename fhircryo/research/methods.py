"""A draft of a paper's methods section: the protocol's numbers in words."""

from collections.abc import Callable

from fhircryo import __version__
from fhircryo.endpoints.catalogue import MAJOR_CLAVIEN, MAJOR_SIR
from fhircryo.mapping.protocol import BASELINE
from fhircryo.research.flow import Flow
from fhircryo.research.patient_columns import (
    time_points,
)
from fhircryo.research.quoting import markdown
from fhircryo.research.table_options import Between
from fhircryo.runs.run_config import RunConfig

_PHOENIX = "Phoenix (Roach et al., Int J Radiat Oncol Biol Phys 2006;65(4):965-74)"
_STUTTGART = "Stuttgart (Blana et al., BJU Int 2009;104(8):1058-62)"
_DETECTION = {
    "limit": "counted as the limit",
    "half": "counted as half the limit",
    "zero": "counted as zero",
}
_SALVAGE = {
    "report": "was reported and changed no endpoint",
    "event": "ended the PSA series and freedom from disease on its day",
    "censor": "ended the PSA series and was no event",
}


#: How a text of a protocol, a mapping or a source is written.
Quote = Callable[[str], str]


def methods(
    config: RunConfig, flow: Flow, between: Between, kind: str, quote: Quote = markdown
) -> str:
    """The methods section, for the authors to edit.

    ``kind``: as in FolderOptions. ``quote``: how outside text is written; by default as Markdown.
    """
    return (
        "\n\n".join(
            (
                "# Methods (draft)",
                _patients(config, flow, between, quote),
                _baseline(config),
                _failure(config),
                _disease(config),
                _times(config),
                _complications(config, quote),
                _questionnaires(config),
                _statistics(),
                _versions(config, kind, quote),
            )
        )
        + "\n"
    )


def _patients(config: RunConfig, flow: Flow, between: Between, quote: Quote) -> str:
    span = ""
    if between.first is not None:
        span += f" from {between.first}"
    if between.last is not None:
        span += f" to {between.last}"
    days = config.protocol.index.treatment_days
    text = (
        f"Patients with a completed or stopped cryoablation of the prostate{span} were read from"
        f" the FHIR record as of {config.as_of}. Day 0 (D0) is the day of the first such procedure;"
        f" procedures up to {days} day(s) later belong to the index treatment."
    )
    if flow.cohort is None:
        text += " The number of patients in the cohort is not shown."
    else:
        text += f" {flow.cohort} patients are in the cohort."
    if flow.lacking:
        lacking = ", no ".join(map(quote, flow.lacking))
        text += (
            f" The source holds no {lacking}, or does not give all of it:"
            " endpoints that would rest on there being none were taken as unknown."
        )
    return text


def _baseline(config: RunConfig) -> str:
    rules = config.protocol.doubling_time
    return (
        f"Baseline PSA was the last of the {config.protocol.psa.baseline_days} days to D0. PSA"
        f" doubling time was ln 2 divided by the slope of ln(PSA) over time by least squares, from"
        f" at least {rules.minimum_results} results of the {rules.days_before} days to D0, the"
        f" first and the last at least {rules.minimum_days} days apart, in patients without hormone"
        " therapy in that time (PSA Working Group, Arlen et al., J Urol 2008). Other"
        " characteristics were the last recorded up to D0."
    )


def _failure(config: RunConfig) -> str:
    rules = config.protocol.biochemical_failure
    psa = config.protocol.psa
    name = _PHOENIX if rules.definition == "phoenix" else _STUTTGART
    confirmed = ""
    if rules.confirm_days is not None:
        confirmed = (
            f" A failure counted only if a result at least {rules.confirm_days} days later"
            " confirmed it."
        )
    detection = _DETECTION[psa.detection_limit]
    gap = config.protocol.hormone_therapy.continuation_days
    return (
        f"Biochemical failure was defined by {name}: a serum PSA of the running nadir +"
        f" {rules.rise} ng/mL or more, dated at call. Results of the first {psa.first_days} days"
        f" were not used. One result alone was no failure.{confirmed} Results below a limit of"
        f" {psa.nadir_limit_max} ng/mL or lower were undetectable and {detection};"
        " other results below or above a limit counted only where every value that they allow"
        " gives the same answer, and were otherwise taken as inconclusive. Salvage therapy (hormone"
        " therapy, a second local treatment or chemotherapy)"
        f" {_SALVAGE[config.protocol.salvage_therapy]}. Hormone therapy at index and its"
        f" continuation, without a gap of more than {gap} days, was not salvage therapy."
    )


def _disease(config: RunConfig) -> str:
    rules = config.protocol.disease_free
    salvage = ", salvage therapy" if config.protocol.salvage_therapy == "event" else ""
    response = (
        " Patients whose PSA never fell below the baseline were not evaluable."
        if rules.no_response == "absent"
        else ""
    )
    return (
        f"Disease-free at {rules.landmark_months} months meant no biochemical failure, local or"
        f" nodal recurrence, metastasis, progression{salvage} or death of prostate cancer up to D0"
        f" + {rules.landmark_months} months, and a PSA that showed no failure from"
        f" {rules.psa_months_before} months before that day on. Patients without such a PSA, with"
        " events of unknown date, who died before, or whose landmark lay after the data cut-off"
        f" were not evaluable and left out of the denominator.{response} A local recurrence"
        " recorded without an onset up to D0 +"
        f" {config.protocol.recurrence.indication_days} days was taken as the indication."
    )


def _times(config: RunConfig) -> str:
    gap = config.protocol.survival.death_gap_months
    alive = ""
    if config.settings.vital_status_complete:
        alive = ", overall and cancer-specific survival at the data cut-off"
    return (
        "Time to biochemical failure and disease-free survival were censored at the last PSA that"
        f" showed no failure, the other times at the last contact{alive}. Events known only as an"
        " interval counted on its middle day; the estimates with all of them on their first, and on"
        " their last possible day are given beside. In disease-free and metastasis-free survival a"
        f" death more than {gap} months after the day of censoring was no event. Cumulative"
        " incidences of biochemical failure, of any event of disease, of metastasis and of salvage"
        " therapy were estimated by the Aalen-Johansen method with death before the event as the"
        f" competing event; of the first three, a death more than {gap} months after the day of"
        " censoring did not count. Curves end where fewer than"
        f" {config.settings.least_at_risk} patients are at risk."
    )


def _complications(config: RunConfig, quote: Quote) -> str:
    rules = config.protocol.complications
    scales = [config.mappings.scales[endpoint.scale] for endpoint in (MAJOR_CLAVIEN, MAJOR_SIR)]
    named = " and ".join(f"{quote(scale.words)} ({quote(scale.source)})" for scale in scales)
    major = " and ".join(
        f"{quote(config.mappings.scales[name].words)} {quote(grade)}"
        for name, grade in rules.major.items()
    )
    ungraded = "were taken as minor" if rules.ungraded_means_minor else "were never taken as minor"
    return (
        "Adverse events that named the index procedure as a suspect and were not assessed as"
        " unrelated, or named none and were dated from D0 to D0 +"
        f" {rules.window_days} days, were attributed to it. The worst grade counted, by {named}."
        f" Major were {major} or worse; ungraded events {ungraded}."
    )


def _questionnaires(config: RunConfig) -> str:
    parts = []
    for name in time_points(config.protocol):
        point = config.protocol.time_points[name]
        if name == BASELINE:
            parts.append(f"baseline (the last of the {point.days_before} days to D0)")
        else:
            parts.append(f"{name} (D0 + {point.from_} to {point.to} months)")
    return (
        f"Questionnaire scores were taken at {', '.join(parts)}: of the scored responses in a"
        " window the one nearest its target. Responses that lacked a needed item, or had an answer"
        " out of range, had no score."
    )


def _statistics() -> str:
    return (
        "Proportions are given with Wilson 95 % confidence intervals, times to event by the"
        " Kaplan-Meier method with log-log 95 % bands, the median follow-up by the reverse"
        " Kaplan-Meier method, scores as median and interquartile range;"
        " changes since baseline were tested with Wilcoxon's signed-rank test, two-sided, with the"
        " matched-pairs rank-biserial correlation as effect size. Nothing was imputed. P values are"
        " not corrected for multiple testing."
    )


def _versions(config: RunConfig, kind: str, quote: Quote) -> str:
    tables = {
        "identified": "the tables are identified",
        "pseudonymised": "the tables are pseudonymised",
    }
    hidden = f"no group smaller than {config.settings.smallest_group} is shown or can be computed"
    return (
        f"Endpoints were computed with fhircryo {__version__}, protocol {config.protocol.id}"
        f" {quote(config.protocol.version)} ({quote(config.protocol.source)}), mappings SHA-256"
        f" {config.mappings.sha256[:16]}; {tables.get(kind, hidden)}."
    )
