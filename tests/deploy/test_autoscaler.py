"""The autoscaling metric: the adapter's query uses our metrics and gives known results."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.telemetry.metrics import Metrics
from tests.deploy.chart import CHART, needs_helm, rendered


def adapter() -> dict[str, Any]:
    (rule,) = yaml.safe_load((CHART / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    return rule


@needs_helm
def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    (metric,) = rendered("scaled")["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == adapter()["name"]["as"]
    ours = Metrics()
    ours.stage_duration.labels("queue", "digits").observe(0.01)
    series = set(re.findall(r"^(striate_\w+)\{.*stage=\"queue\"", ours.exposition().decode(), re.MULTILINE))
    assert set(re.findall(r"striate_\w+_(?:sum|count)", adapter()["metricsQuery"])) <= series


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_the_adapters_query_is_the_mean_wait_of_a_pod(tmp_path: Path) -> None:
    query = (
        adapter()["metricsQuery"].replace("<<.GroupBy>>", "pod").replace("<<.LabelMatchers>>", 'namespace="imaging"')
    )
    labels = 'stage="queue", namespace="imaging", pod='
    series = [
        (f'striate_stage_duration_seconds_sum{{{labels}"busy", model="a"}}', "0+3x20"),  # 60 images wait 3 s in all
        (f'striate_stage_duration_seconds_count{{{labels}"busy", model="a"}}', "0+60x20"),
        (f'striate_stage_duration_seconds_sum{{{labels}"busy", model="b"}}', "0+9x20"),
        (f'striate_stage_duration_seconds_count{{{labels}"busy", model="b"}}', "0+60x20"),
        (f'striate_stage_duration_seconds_sum{{{labels}"idle", model="a"}}', "7+0x20"),
        (f'striate_stage_duration_seconds_count{{{labels}"idle", model="a"}}', "7+0x20"),
        ('striate_stage_duration_seconds_sum{stage="infer", namespace="imaging", pod="busy"}', "0+99x20"),
        ('striate_stage_duration_seconds_sum{stage="queue", namespace="other", pod="theirs"}', "0+99x20"),
    ]
    expected = [{"labels": '{pod="busy"}', "value": 12 / 120}, {"labels": '{pod="idle"}', "value": 0}]
    test = {
        "interval": "30s",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [{"expr": query, "eval_time": "5m", "exp_samples": expected}],
    }
    file = tmp_path / "adapter.test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "30s", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
