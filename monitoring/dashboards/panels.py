"""Conversion of panels to Grafana's JSON; the only module that uses grafana_foundation_sdk."""

from itertools import count
from typing import Any, Literal, NamedTuple, TypeAlias

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as styles
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
HEIGHT, WIDTH = 8, 24  # Grafana's grid
Kind: TypeAlias = Literal["timeseries", "stacked", "stat", "table", "heatmap"]
MODEL = '{model=~"$model"}'


class Panel(NamedTuple):
    """One panel: `queries` maps a legend (Grafana's template, "{{label}}") to PromQL."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Kind = "timeseries"
    help: str = ""
    red_above: float | None = None


Rows: TypeAlias = dict[str, list[Panel]]


class Dashboard(NamedTuple):
    uid: str
    title: str
    rows: Rows


def quantile(q: float, metric: str, *by: str, where: str = "") -> str:
    """Returns the query of a histogram's q-quantile over the panel's interval, by the labels `by`."""
    labels = ", ".join((*by, "le"))
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{where}[$__rate_interval])))"


def mean(metric: str, by: str, where: str = "") -> str:
    """Returns the query of a histogram's mean over the panel's interval, by the label `by`."""
    total, count = (f"sum by ({by}) (rate({metric}_{part}{where}[$__rate_interval]))" for part in ("sum", "count"))
    return f"{total} / {count}"


def rate(metric: str, *by: str, where: str = "") -> str:
    """Returns the query of events per second over the panel's interval, by the labels `by`."""
    return f"sum by ({', '.join(by)}) (rate({metric}{where}[$__rate_interval]))"


def rendered(wanted: Dashboard) -> str:
    """Returns the text of the JSON file."""
    return JSONEncoder(sort_keys=True, indent=2).encode(_built(wanted).build()) + "\n"


def _built(wanted: Dashboard) -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard(wanted.title)
        .uid(wanted.uid)
        .tags(["striate"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("15s")
        .timezone("browser")
        .with_variable(_model_variable())
        .link(dashboard.DashboardLink("Striate").type("dashboards").tags(["striate"]).keep_time(True))
    )
    numbers = count(1)
    for title, row in wanted.rows.items():
        built.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in row:
            built.with_panel(_panel(panel).id(next(numbers)).span(WIDTH // len(row)).height(_height(row)))
    return built


def _height(row: list[Panel]) -> int:
    return HEIGHT // 2 if row[0].kind == "stat" else HEIGHT


def _model_variable() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("model")
        .label("Model")
        .datasource(SOURCE)
        .query("label_values(striate_model_info, model)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )


def _panel(panel: Panel) -> Any:
    built = _KINDS[panel.kind](panel).title(panel.title).description(panel.help).datasource(SOURCE).unit(panel.unit)
    for n, (legend, expr) in enumerate(panel.queries.items()):
        built.with_target(_query(panel, expr, legend).ref_id(chr(65 + n)).datasource(SOURCE))
    return built


def _query(panel: Panel, expr: str, legend: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expr).legend_format(legend or "__auto")
    if panel.kind == "table":
        return query.instant().format(PromQueryFormat.TABLE)
    return query.range().format(PromQueryFormat.HEATMAP if panel.kind == "heatmap" else PromQueryFormat.TIME_SERIES)


def _thresholds(red_above: float | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(color="green", value=None)]
    if red_above is not None:
        steps.append(Threshold(color="red", value=red_above))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _stat(panel: Panel) -> stat.Panel:
    return (
        stat.Panel()
        .thresholds(_thresholds(panel.red_above))
        .color_mode(styles.BigValueColorMode.VALUE)
        .graph_mode(styles.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _lines(_: Panel) -> timeseries.Panel:
    return (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(0)
        .legend(common.VizLegendOptions().show_legend(True).placement(styles.LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(styles.TooltipDisplayMode.MULTI).sort(styles.SortOrder.DESCENDING))
    )


def _areas(panel: Panel) -> timeseries.Panel:
    stacking = common.StackingConfig().mode(styles.StackingMode.NORMAL).group("A")
    return _lines(panel).fill_opacity(20).stacking(stacking).min(0)


def _table(_: Panel) -> table.Panel:
    hidden = {"Time": True, "Value": True, "__name__": True, "job": True}
    organised = DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    return table.Panel().show_header(True).with_transformation(organised)


def _map(_: Panel) -> heatmap.Panel:
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").exponent(0.5).steps(32)
    return heatmap.Panel().color(colours)


_KINDS = {"timeseries": _lines, "stacked": _areas, "stat": _stat, "table": _table, "heatmap": _map}
