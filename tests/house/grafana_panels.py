"""Makes single panels of the dashboard: a figure, a chart of lines, a table; knows none of our metrics."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as models

PROMETHEUS = models.DataSourceRef("prometheus", "${prometheus}")
POSTGRES = models.DataSourceRef("grafana-postgresql-datasource", "${postgres}")

type_query = str | tuple[str, str]
"""PromQL, or PromQL and the legend of its lines."""


@dataclass
class Sql(Dataquery, Builder["Sql"]):
    """A question to Postgres; the SDK has no model of that data source, so this is one."""

    text: str
    format: str

    def build(self) -> Sql:
        """Itself: there is nothing to put together."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {
            "refId": "A",
            "datasource": POSTGRES,
            "rawSql": self.text,
            "rawQuery": True,
            "editorMode": "code",
            "format": self.format,
        }


def _colours(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value, colour) for value, colour in steps])
    )


NONE_IS_GOOD = ((None, "red"), (0, "green"), (1, "orange"))
"""Below zero is red too: -1 means that the database could not be asked."""


def now(
    title: str, about: str, query: str, *steps: tuple[float | None, str], unit: str = "none"
) -> stat.Panel:
    """One figure, coloured by what it means."""
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(4)
        .height(4)
        .color_mode(looks.BigValueColorMode.BACKGROUND)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_colours(*steps))
        .with_target(prometheus.Dataquery().expr(query).instant().ref_id("A").datasource(PROMETHEUS))
    )


def lines(title: str, about: str, unit: str, *queries: type_query) -> timeseries.Panel:
    """A chart of PromQL over time."""
    panel = chart(title, about, unit, PROMETHEUS)
    for letter, query in zip("ABCDEF", queries, strict=False):
        expression, legend = query if isinstance(query, tuple) else (query, "")
        target = prometheus.Dataquery().expr(expression).range().ref_id(letter).datasource(PROMETHEUS)
        panel.with_target(target.legend_format(legend))
    return panel


def chart(title: str, about: str, unit: str, source: models.DataSourceRef) -> timeseries.Panel:
    """A chart without its questions."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(looks.LegendDisplayMode.LIST)
    tooltip = common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI)
    return (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(source)
        .unit(unit)
        .min(0)
        .span(8)
        .height(8)
        .fill_opacity(10)
        .legend(legend.placement(looks.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]))
        .tooltip(tooltip.sort(looks.SortOrder.DESCENDING))
    )


def rows(title: str, about: str, query: str) -> table.Panel:
    """A table of what Postgres answers."""
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(POSTGRES)
        .span(8)
        .height(8)
        .with_target(Sql(query, "table"))
    )


def p99(histogram: str) -> str:
    """PromQL: the 99th percentile of a histogram."""
    return f"histogram_quantile(0.99, sum by (le) (rate({histogram}_bucket[$__rate_interval])))"


def mean(histogram: str) -> str:
    """PromQL: the mean of a histogram."""
    total, count = (f"sum(rate({histogram}_{part}[$__rate_interval]))" for part in ("sum", "count"))
    return f"{total} / {count}"
