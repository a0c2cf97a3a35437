"""What pooled sites give: rates by site and together, baseline and times beside each other."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fhircryo.research.analysis import ANALYSED, analyse
from fhircryo.research.columns import PATIENTS
from fhircryo.research.comparison import Comparison, compare
from fhircryo.research.flow import Flow
from fhircryo.research.grouping import Grouping
from fhircryo.research.pool.pooled_tables import SITE
from fhircryo.research.pool.site import Site
from fhircryo.research.rates import Rate, rates
from fhircryo.research.statistics.heterogeneity import Combined, pooled_proportion
from fhircryo.research.statistics.proportions import Proportion, proportion
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.table import PATIENT
from fhircryo.runs.run_config import RunConfig

#: The name of all sites as one group.
TOGETHER = "Together"


class PooledRate(msgspec.Struct, frozen=True):
    """A rate at the sites.

    ``counted``: of each site in their order, None where it is not shown or not estimable.
    ``total``: the sum of the others, None without any. ``combined``: the random-effects model, None
    where ``pooled_proportion`` gives none.
    """

    key: str
    words: str
    counted: tuple[Proportion | None, ...]
    total: Proportion | None
    combined: Combined | None


class PooledResults(msgspec.Struct, frozen=True):
    """The numbers of the pooled report.

    ``by_site``, ``together``: of the sites with tables, None without any.
    """

    rates: tuple[PooledRate, ...]
    by_site: Comparison | None
    together: Comparison | None


def pooled_results(
    sites: Sequence[Site], tables: Mapping[str, StoredTable], config: RunConfig
) -> PooledResults:
    """The numbers of sites; ``tables``: the pooled ones, empty without sites that have tables."""
    if not tables:
        return PooledResults(_pooled_rates([site.rates for site in sites]), None, None)
    frames = {name: tables[name].frame() for name in ANALYSED}
    flow = Flow(None, None, None, [], None, {}, [], [], None)
    of_sites = []
    for site in sites:
        if not site.tables:
            of_sites.append(site.rates)
            continue
        own = {name: frame[frame[SITE] == site.name] for name, frame in frames.items()}
        of_sites.append(rates(analyse(own, config, flow), config.protocol))
    patients, columns = frames[PATIENTS], tables[PATIENTS].columns
    names = tuple(site.name for site in sites if site.tables)
    grouping = Grouping(SITE, names, tuple(map(str, patients[SITE])))
    whole = Grouping(SITE, (TOGETHER,), (TOGETHER,) * len(patients))
    return PooledResults(
        _pooled_rates(of_sites),
        compare(patients, grouping, columns, config),
        compare(patients, whole, columns, config),
    )


def _pooled_rates(of_sites: Sequence[Iterable[Rate]]) -> tuple[PooledRate, ...]:
    """The rates of sites by key, in the order of the first site that has each."""
    by_site = [{rate.key: rate for rate in found} for found in of_sites]
    words = {rate.key: rate.words for found in reversed(by_site) for rate in found.values()}
    order = dict.fromkeys(key for found in by_site for key in found)
    pooled = []
    for key in order:
        counted = tuple(found[key].counted if key in found else None for found in by_site)
        known = [one for one in counted if one is not None]
        total = proportion(sum(one.successes for one in known), sum(one.n for one in known))
        pooled.append(
            PooledRate(key, words[key], counted, total if known else None, pooled_proportion(known))
        )
    return tuple(pooled)


def shared_pseudonyms(sites: Sequence[Site]) -> int:
    """How many pseudonyms occur at several sites: with keys of their own, none does."""
    having: dict[str, int] = defaultdict(int)
    for site in sites:
        if site.tables:
            for patient in site.tables[PATIENTS][PATIENT].to_pylist():
                having[patient] += 1
    return sum(number > 1 for number in having.values())
