"""Are the images those that the models were trained for, and are the answers those of last week?"""

from monitoring.dashboards.panels import MODEL, Panel, Rows, quantile, rate

MEAN = '{figure="mean", model=~"$model"}'

ROWS: Rows = {
    "Images against those of the training": [
        Panel(
            "Beyond what 99 % of the training images have",
            {"{{model}} {{figure}}": f"model:striate_inputs_outside:ratio_rate1h{MODEL}"},
            unit="percentunit",
            help="Over an hour, of the prepared image's mean, deviation and percentiles 1 and 99; 1 % is usual.",
        ),
        Panel(
            "To which side",
            {
                "{{model}} {{figure}} {{side}}": rate(
                    "striate_inputs_outside_total", "model", "figure", "side", where=MODEL
                )
            },
            unit="ops",
        ),
        Panel(
            "Median, by figure",
            {"{{model}} {{figure}}": quantile(0.5, "striate_input_deviation_ratio", "model", "figure", where=MODEL)},
            help="0 is the middle of the training images, -1 and 1 their ends.",
        ),
        Panel(
            "Brightness of the images",
            {"{{le}}": rate("striate_input_deviation_ratio_bucket", "le", where=MEAN)},
            kind="heatmap",
            help="Mean of the prepared image: between -1 and 1 lie 99 % of the training images.",
        ),
    ],
    "Images as they come": [
        Panel(
            "Size",
            {
                "p5 {{model}}": quantile(0.05, "striate_input_side_pixels", "model", where=MODEL),
                "p50 {{model}}": quantile(0.5, "striate_input_side_pixels", "model", where=MODEL),
                "p95 {{model}}": quantile(0.95, "striate_input_side_pixels", "model", where=MODEL),
            },
            help="Root of height times width in pixels.",
        ),
        Panel(
            "Warnings an image",
            {"{{model}} {{code}}": f"model:striate_input_warnings:per_image_rate1h{MODEL}"},
            help="Over an hour. unlike_training_data counts once for each figure.",
        ),
        Panel(
            "Refused images",
            {
                "{{code}}": "sum by (code) (rate(striate_errors_total{code=~"
                '"not_an_image|damaged_image|unsupported_image|image_too_small|not_finite|values_too_large"}'
                "[$__rate_interval]))"
            },
            unit="ops",
            kind="stacked",
        ),
    ],
    "Answers against those of the week": [
        Panel(
            "How much of the mixture has moved",
            {"{{model}}": f"model:striate_prediction_shift:ratio{MODEL}"},
            unit="percentunit",
            red_above=0.25,
            help="Half the sum of the differences between an hour's shares and a week's. The first sign that images or "
            "patients have changed.",
        ),
        Panel(
            "Share of each class",
            {
                "hour, {{model}} {{label}}": f"model:striate_predictions:share_rate1h{MODEL}",
                "week, {{model}} {{label}}": f"model:striate_predictions:share_rate7d{MODEL}",
            },
            unit="percentunit",
        ),
        Panel(
            "Confidence of the top class",
            {
                "median {{model}}": quantile(0.5, "striate_confidence_ratio", "model", where=MODEL),
                "lowest tenth {{model}}": quantile(0.1, "striate_confidence_ratio", "model", where=MODEL),
            },
            unit="percentunit",
        ),
    ],
}
