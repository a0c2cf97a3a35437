"""A draft of a paper's methods section: the protocol's numbers in words."""

from fhircryo import __version__
from fhircryo.endpoints.catalogue import MAJOR_CLAVIEN, MAJOR_SIR
from fhircryo.mapping.protocol import BASELINE
from fhircryo.research.build import Between
from fhircryo.research.columns import (
    time_points,
)
from fhircryo.research.flow import Flow
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
    "event": "counted as a failure on its date",
    "censor": "ended the PSA series",
}


def methods(config: RunConfig, flow: Flow, between: Between, kind: str) -> str:
    """The methods section in Markdown, for the authors to edit; ``kind``: as in FolderOptions."""
    return (
        "\n\n".join(
            (
                "# Methods (draft)",
                _patients(config, flow, between),
                _failure(config),
                _disease(config),
                _complications(config),
                _questionnaires(config),
                _statistics(),
                _versions(config, kind),
            )
        )
        + "\n"
    )


def _patients(config: RunConfig, flow: Flow, between: Between) -> str:
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
        f" {flow.cohort} patients are in the cohort."
    )
    if flow.lacking:
        text += (
            f" The source holds no {', no '.join(flow.lacking)}: endpoints that would rest on there"
            " being none were taken as unknown."
        )
    return text


def _failure(config: RunConfig) -> str:
    rules = config.protocol.biochemical_failure
    psa = config.protocol.psa
    name = _PHOENIX if rules.definition == "phoenix" else _STUTTGART
    return (
        f"Biochemical failure was defined by {name}: a serum PSA of the running nadir +"
        f" {rules.rise} ng/mL or more after D0, dated at call. One result alone was no failure."
        f" Results below detection were {_DETECTION[psa.detection_limit]} and could be the nadir"
        f" if the limit was {psa.nadir_limit_max} ng/mL or lower. Baseline PSA was the last of the"
        f" {psa.baseline_days} days to D0. Salvage therapy (hormone therapy or a second local"
        f" treatment) {_SALVAGE[config.protocol.salvage_therapy]}."
    )


def _disease(config: RunConfig) -> str:
    rules = config.protocol.disease_free
    return (
        f"Disease-free at {rules.landmark_months} months meant no biochemical failure, local"
        f" recurrence, metastasis or progression up to D0 + {rules.landmark_months} months, and a"
        f" PSA that showed no failure from {rules.psa_months_before} months before that day on."
        " Patients without such a PSA, with events of unknown date, who died before, or whose"
        " landmark lay after the data cut-off were not evaluable and left out of the denominator."
        " A local recurrence recorded without an onset up to D0 +"
        f" {config.protocol.recurrence.indication_days} days was taken as the indication. Times to"
        " event were censored at the last PSA that showed no failure (metastasis-free survival: at"
        " the last PSA)."
    )


def _complications(config: RunConfig) -> str:
    rules = config.protocol.complications
    scales = [config.mappings.scales[endpoint.scale] for endpoint in (MAJOR_CLAVIEN, MAJOR_SIR)]
    named = " and ".join(f"{scale.words} ({scale.source})" for scale in scales)
    major = " and ".join(
        f"{config.mappings.scales[name].words} {grade}" for name, grade in rules.major.items()
    )
    ungraded = "were taken as minor" if rules.ungraded_means_minor else "were never taken as minor"
    return (
        "Adverse events that named the index procedure as a suspect, or named none and were dated"
        f" from D0 to D0 + {rules.window_months} months, were attributed to it. The worst grade"
        f" counted, by {named}. Major were {major} or worse; ungraded events {ungraded}."
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
        " Kaplan-Meier method with log-log 95 % bands, scores as median and interquartile range;"
        " changes since baseline were tested with Wilcoxon's signed-rank test, two-sided, with the"
        " matched-pairs rank-biserial correlation as effect size. Nothing was imputed. P values are"
        " not corrected for multiple testing."
    )


def _versions(config: RunConfig, kind: str) -> str:
    tables = {
        "identified": "the tables are identified",
        "pseudonymised": "the tables are pseudonymised",
    }
    hidden = f"groups smaller than {config.settings.smallest_group} are not shown"
    return (
        f"Endpoints were computed with fhircryo {__version__}, protocol {config.protocol.id}"
        f" {config.protocol.version} ({config.protocol.source}), mappings SHA-256"
        f" {config.mappings.sha256[:16]}; {tables.get(kind, hidden)}."
    )
