"""Dashboard of the models: versions, inference and predictions."""

from monitoring.dashboards.panels import MODEL, Panel, Rows, mean, quantile, rate

INFER = '{stage="infer", model=~"$model"}'
QUEUE = '{stage="queue", model=~"$model"}'

ROWS: Rows = {
    "Versions": [
        Panel(
            "Serving versions",
            {"": "striate_model_info"},
            kind="table",
            help="The versions that answer, with digest and execution provider.",
        ),
        Panel(
            "State of all versions",
            {"": f"max by (model, version, state) (striate_model_state{MODEL}) == 1"},
            kind="table",
            help="inactive: verified, not in use. unloaded: its next request loads it. invalid: GET /models says why.",
        ),
        Panel(
            "Loaded weights",
            {"{{model}} {{version}}": f"max by (model, version) (striate_model_memory_bytes{MODEL})"},
            unit="bytes",
            kind="stacked",
            help="Limited by STRIATE_LOADED_BYTES.",
        ),
    ],
    "Inference": [
        Panel(
            "Inference time",
            {
                "p50 {{model}}": quantile(0.5, "striate_stage_duration_seconds", "model", where=INFER),
                "p99 {{model}}": quantile(0.99, "striate_stage_duration_seconds", "model", where=INFER),
            },
            unit="s",
        ),
        Panel(
            "Queue time, p95",
            {"{{model}}": quantile(0.95, "striate_stage_duration_seconds", "model", where=QUEUE)},
            unit="s",
        ),
        Panel("Mean batch size", {"{{model}}": mean("striate_batch_size", "model", MODEL)}),
        Panel(
            "Why batches were closed",
            {"{{released}}": rate("striate_batches_total", "released", where=MODEL)},
            unit="ops",
            kind="stacked",
            help="idle: the queue was empty. no_more: too few images waited. full: largest batch size. "
            "bound: STRIATE_BATCH_BOUND_S. no_gain: a larger batch is not faster. alone: retry after a failed batch.",
        ),
    ],
    "Predictions": [
        Panel(
            "Images per second",
            {"{{model}}": rate("striate_input_side_pixels_count", "model", where=MODEL)},
            unit="ops",
            kind="stacked",
        ),
        Panel(
            "Predicted classes",
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
            "Shadow: images with another decision",
            {
                "compared, {{model}} {{version}}": rate(
                    "striate_shadow_compared_total", "model", "version", where=MODEL
                ),
                "different, {{model}} {{version}}": rate(
                    "striate_shadow_differed_total", "model", "version", where=MODEL
                ),
            },
            unit="ops",
        ),
    ],
}
