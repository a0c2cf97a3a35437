"""The report: one HTML file that contains its figures."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhircryo import __version__
from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.endpoints.labels import label
from fhircryo.research.analysis import Analysis
from fhircryo.research.comparison import Comparison
from fhircryo.research.complication_summary import NOT_RECORDED
from fhircryo.research.evaluable import NOT_ESTIMABLE
from fhircryo.research.report import number_format
from fhircryo.research.report.charts import (
    completeness_figure,
    flow_figure,
    flow_rows,
    grades_figure,
    prom_figure,
)
from fhircryo.research.report.curves import (
    grouped_figure,
    incidence_figure,
    psa_figure,
    survival_figure,
)
from fhircryo.research.report.environment import html_environment, style
from fhircryo.research.report.figure import Figure
from fhircryo.research.reviewed import Review
from fhircryo.research.survival import MONTH
from fhircryo.runs.run_config import RunConfig

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Figures:
    """The figures of a report by section; None if nothing may be shown, or there is no data."""

    flow: Figure
    survival: list[Figure | None]
    incidence: list[Figure | None]
    psa: Figure | None
    proms: list[Figure | None]
    completeness: Figure | None
    grades: Figure | None

    @property
    def all(self) -> list[Figure]:
        """All figures that were drawn."""
        times = [*self.survival, *self.incidence]
        found = [self.flow, *times, self.psa, *self.proms, self.completeness, self.grades]
        return [figure for figure in found if figure is not None]


def figures_of(found: Analysis, psa: "pd.DataFrame | None", least_at_risk: int) -> Figures:
    """Draw the figures.

    ``psa``: the table of PSA results, None if no patient may be shown. ``least_at_risk``: where
    fewer patients are at risk, curves end.
    """
    return Figures(
        flow=flow_figure(found.flow),
        survival=[survival_figure(survival) for survival in found.survival],
        incidence=[incidence_figure(risk, least_at_risk) for risk in found.competing],
        psa=None if psa is None else psa_figure(psa),
        proms=[prom_figure(prom) for prom in found.proms],
        completeness=completeness_figure(found.proms),
        grades=grades_figure(found.grades),
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
    environment = html_environment()
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
        labels={endpoint.key: label(endpoint, config.protocol) for endpoint in CATALOGUE},
        NOT_RECORDED=NOT_RECORDED,
        NOT_ESTIMABLE=NOT_ESTIMABLE,
        version=__version__,
        style=style(),
    )
    return text
