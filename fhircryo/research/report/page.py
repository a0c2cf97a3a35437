"""The report: one HTML file that contains its figures."""

from dataclasses import dataclass

from fhircryo import __version__
from fhircryo.endpoints.reason_words import WHY
from fhircryo.research.aggregate_flow import step_of
from fhircryo.research.analysis import Analysis
from fhircryo.research.comparison import Comparison
from fhircryo.research.complication_summary import NOT_RECORDED
from fhircryo.research.evaluable import NOT_ESTIMABLE, endpoint_names
from fhircryo.research.report import number_format
from fhircryo.research.report.charts import completeness_figure, grades_figure, prom_figure
from fhircryo.research.report.courses import nadir_figure, psa_figure, waterfall_figure
from fhircryo.research.report.curves import grouped_figure, incidence_figure, survival_figure
from fhircryo.research.report.environment import report_environment
from fhircryo.research.report.figure import Figure
from fhircryo.research.report.flow_chart import flow_figure, flow_rows
from fhircryo.research.report.single_figures import (
    MOST_SWIMMERS,
    complications_figure,
    swimmer_figure,
)
from fhircryo.research.reviewed import Review
from fhircryo.research.single_patients import SinglePatients
from fhircryo.research.survival import MONTH
from fhircryo.runs.run_config import RunConfig


@dataclass(frozen=True)
class Figures:
    """The figures of a report by section; None if nothing may be shown, or there is no data."""

    flow: Figure
    survival: list[Figure | None]
    incidence: list[Figure | None]
    swimmers: Figure | None
    psa: Figure | None
    waterfall: Figure | None
    nadir: Figure | None
    proms: list[Figure | None]
    completeness: Figure | None
    grades: Figure | None
    complications: Figure | None

    @property
    def all(self) -> list[Figure]:
        """All figures that were drawn."""
        found = [
            *(self.flow, *self.survival, *self.incidence, self.swimmers),
            *(self.psa, self.waterfall, self.nadir),
            *(*self.proms, self.completeness, self.grades, self.complications),
        ]
        return [figure for figure in found if figure is not None]


def figures_of(found: Analysis, single: SinglePatients | None, config: RunConfig) -> Figures:
    """Draw the figures; ``single``: what is drawn of single patients, None if it may not be."""
    least = config.settings.least_at_risk
    return Figures(
        flow=flow_figure(found, config),
        survival=[survival_figure(survival) for survival in found.survival],
        incidence=[incidence_figure(risk, least) for risk in found.competing],
        swimmers=None if single is None else swimmer_figure(single.swimmers),
        psa=None if single is None else psa_figure(single.psa),
        waterfall=None if single is None else waterfall_figure(single.changes),
        nadir=None if single is None else nadir_figure(single.nadirs),
        proms=[prom_figure(prom) for prom in found.proms],
        completeness=completeness_figure(found.proms),
        grades=grades_figure(found.grades),
        complications=(
            None if single is None else complications_figure(single.complications, single.grades)
        ),
    )


@dataclass(frozen=True)
class GroupsShown:
    """The groups of a cohort beside each other; ``figures``: of the times, None if not drawn."""

    comparison: Comparison
    figures: list[Figure | None]

    @classmethod
    def of(cls, comparison: Comparison, least_at_risk: int) -> "GroupsShown":
        """Draw the figures of a comparison."""
        names = comparison.grouping.groups
        return cls(
            comparison, [grouped_figure(time, names, least_at_risk) for time in comparison.times]
        )


def _reasons(found: Analysis) -> dict[str, str]:
    """The reasons for which any endpoint is not known, and what they mean."""
    present = {absence.reason for one in found.evaluable for absence in one.absent}
    return {str(reason): words for reason, words in WHY.items() if str(reason) in present}


def page(
    found: Analysis,
    figures: Figures,
    config: RunConfig,
    methods: str,
    kind: str,
    groups: GroupsShown | None = None,
    review: Review | None = None,
) -> str:
    """The report as HTML; ``kind``: identified, pseudonymised or aggregate-only."""
    environment = report_environment()
    environment.filters["scale"] = lambda name: config.mappings.scales[name].words
    environment.filters["landmark"] = lambda days: str(round(days / MONTH))
    template = environment.get_template("report.html.j2")
    paragraphs = [part for part in methods.split("\n\n") if not part.startswith("#")]
    text: str = template.render(
        found=found,
        figures=figures,
        groups=groups,
        review=review,
        steps=flow_rows(found.flow),
        config=config,
        kind=kind,
        methods=[part.strip() for part in paragraphs],
        words=number_format,
        labels=endpoint_names(config),
        reasons=_reasons(found),
        most_swimmers=MOST_SWIMMERS,
        NOT_RECORDED=NOT_RECORDED,
        NOT_ESTIMABLE=NOT_ESTIMABLE,
        version=__version__,
        step=step_of(config.settings.smallest_group),
    )
    return text
