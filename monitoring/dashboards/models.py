"""Which models serve, how they run, and what they answer."""

from monitoring.dashboards.panels import MODEL, Panel, Rows, mean, quantile, rate

INFER = '{stage="infer", model=~"$model"}'
QUEUE = '{stage="queue", model=~"$model"}'

ROWS: Rows = {
    "What serves": [
        Panel(
            "Served",
            {"": "striate_model_info"},
            kind="table",
            help="Which bytes give the answers, and on which device.",
        ),
        Panel(
            "State of every version",
            {"": f"max by (model, version, state) (striate_model_state{MODEL}) == 1"},
            kind="table",
            help="inactive: verified, not in use. unloaded: its next request loads it. invalid: GET /models says why.",
        ),
        Panel(
            "Loaded weights",
            {"{{model}} {{version}}": f"max by (model, version) (striate_model_memory_bytes{MODEL})"},
            unit="bytes",
            kind="stacked",
        ),
    ],
    "How they run": [
        Panel(
            "Inference",
            {
                "p50 {{model}}": quantile(0.5, "striate_stage_duration_seconds", "model", where=INFER),
                "p99 {{model}}": quantile(0.99, "striate_stage_duration_seconds", "model", where=INFER),
            },
            unit="s",
        ),
        Panel(
            "Wait for it, p95",
            {"{{model}}": quantile(0.95, "striate_stage_duration_seconds", "model", where=QUEUE)},
            unit="s",
        ),
        Panel("Images in a run, mean", {"{{model}}": mean("striate_batch_size", "model", MODEL)}),
        Panel(
            "Why no more were in it",
            {"{{released}}": rate("striate_batches_total", "released", where=MODEL)},
            unit="ops",
            kind="stacked",
            help="idle: nobody waited. no_more: too few did. full: the largest size. bound: STRIATE_BATCH_BOUND_S. "
            "no_gain: more would not be faster. alone: it was in a run that failed.",
        ),
    ],
    "What they answer": [
        Panel(
            "Images",
            {"{{model}}": rate("striate_input_side_pixels_count", "model", where=MODEL)},
            unit="ops",
            kind="stacked",
        ),
        Panel(
            "Classes",
            {"{{model}} {{label}}": rate("striate_predictions_total", "model", "label", where=MODEL)},
            unit="ops",
            kind="stacked",
            help="The most probable class of each image.",
        ),
        Panel(
            "Images on which the network failed",
            {"{{model}}": rate("striate_failed_runs_total", "model", where=MODEL)},
            unit="ops",
            kind="stacked",
        ),
        Panel(
            "A shadow's other decisions",
            {
                "compared, {{model}} {{version}}": rate(
                    "striate_shadow_compared_total", "model", "version", where=MODEL
                ),
                "other, {{model}} {{version}}": rate("striate_shadow_differed_total", "model", "version", where=MODEL),
            },
            unit="ops",
        ),
    ],
}
