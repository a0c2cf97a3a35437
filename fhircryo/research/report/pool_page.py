"""The report of pooled sites: one HTML file that contains its figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from fhircryo import __version__
from fhircryo.research.pool.results import PooledResults
from fhircryo.research.pool.site import Site
from fhircryo.research.report import number_format
from fhircryo.research.report.curves import MOST_GROUPED, grouped_figure
from fhircryo.research.report.environment import report_environment
from fhircryo.research.report.figure import Figure
from fhircryo.research.report.forest import forest_figure
from fhircryo.runs.run_config import RunConfig


@dataclass(frozen=True)
class PoolFigures:
    """The figures: of the rates, and of the times by site; None where nothing is drawn."""

    forests: list[Figure | None]
    times: list[Figure | None]

    @property
    def all(self) -> list[Figure]:
        """All figures that were drawn."""
        return [figure for figure in (*self.forests, *self.times) if figure is not None]


def pool_figures(found: PooledResults, sites: Sequence[str], config: RunConfig) -> PoolFigures:
    """Draw the figures; ``sites``: the names of all sites.

    Curves of more sites than lines can be told apart are not drawn.
    """
    times: list[Figure | None] = []
    if found.by_site is not None:
        names, least = found.by_site.grouping.groups, config.settings.least_at_risk
        few = len(names) <= MOST_GROUPED
        times = [grouped_figure(one, names, least) if few else None for one in found.by_site.times]
    return PoolFigures([forest_figure(rate, sites) for rate in found.rates], times)


def pool_page(
    found: PooledResults,
    figures: PoolFigures,
    sites: Sequence[Site],
    shared: int,
    config: RunConfig,
) -> str:
    """The report as HTML; ``shared``: how many pseudonyms occur at several sites."""
    text: str = (
        report_environment()
        .get_template("pool.html.j2")
        .render(
            found=found,
            figures=figures,
            sites=sites,
            shared=shared,
            config=config,
            words=number_format,
            most_drawn=MOST_GROUPED,
            version=__version__,
        )
    )
    return text
