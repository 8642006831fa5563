"""Dashboard of the data: input drift, image properties and prediction shift."""

from monitoring.dashboards.panels import MODEL, Panel, Rows, quantile, rate

MEAN = '{figure="mean", model=~"$model"}'

ROWS: Rows = {
    "Input drift": [
        Panel(
            "Images outside the training range",
            {"{{model}} {{figure}}": f"model:striate_inputs_outside:ratio_rate1h{MODEL}"},
            unit="percentunit",
            help="Share in one hour, by mean, standard deviation and 1st and 99th percentile of the prepared image. "
            "Expected: 1 %.",
        ),
        Panel(
            "Direction: below or above the training range",
            {
                "{{model}} {{figure}} {{side}}": rate(
                    "striate_inputs_outside_total", "model", "figure", "side", where=MODEL
                )
            },
            unit="ops",
        ),
        Panel(
            "Median of each statistic",
            {"{{model}} {{figure}}": quantile(0.5, "striate_input_deviation_ratio", "model", "figure", where=MODEL)},
            help="Relative to the training range: 0 is its centre, -1 and 1 are its ends.",
        ),
        Panel(
            "Distribution of brightness",
            {"{{le}}": rate("striate_input_deviation_ratio_bucket", "le", where=MEAN)},
            kind="heatmap",
            help="Mean of the prepared image; 99 % of the training images lie between -1 and 1.",
        ),
    ],
    "Image properties": [
        Panel(
            "Image size",
            {
                "p5 {{model}}": quantile(0.05, "striate_input_side_pixels", "model", where=MODEL),
                "p50 {{model}}": quantile(0.5, "striate_input_side_pixels", "model", where=MODEL),
                "p95 {{model}}": quantile(0.95, "striate_input_side_pixels", "model", where=MODEL),
            },
            help="Square root of the pixel count.",
        ),
        Panel(
            "Warnings per image",
            {"{{model}} {{code}}": f"model:striate_input_warnings:per_image_rate1h{MODEL}"},
            help="Over one hour. unlike_training_data counts once per statistic.",
        ),
        Panel(
            "Unusable images",
            {
                "{{code}}": "sum by (code) (rate(striate_errors_total{code=~"
                '"not_an_image|damaged_image|unsupported_image|image_too_small|not_finite|values_too_large"}'
                "[$__rate_interval]))"
            },
            unit="ops",
            kind="stacked",
        ),
    ],
    "Prediction shift": [
        Panel(
            "Shift of the class mix",
            {"{{model}}": f"model:striate_prediction_shift:ratio{MODEL}"},
            unit="percentunit",
            red_above=0.25,
            help="Half the sum of the absolute differences between the hour's and the week's class shares. An early "
            "sign that the images or the patients changed.",
        ),
        Panel(
            "Share of each class, hour and week",
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
                "10th percentile {{model}}": quantile(0.1, "striate_confidence_ratio", "model", where=MODEL),
            },
            unit="percentunit",
        ),
    ],
}
