"""Dashboard of the service: health, requests, latency by stage, processes and GPUs."""

from monitoring.dashboards.panels import MODEL, Panel, Rows, mean, quantile, rate

WORK = '{route=~"/predict|/cam|/segment|/v2/.*/infer"}'

ROWS: Rows = {
    "Health": [
        Panel("Up", {"": 'min(up{job="striate"})'}, kind="stat", help="1 if the service answers Prometheus."),
        Panel("Ready", {"": "min(striate_ready)"}, kind="stat", help="1 if /readyz returns 200."),
        Panel(
            "Invalid packages",
            {"": "sum(striate_models_refused)"},
            kind="stat",
            red_above=1,
            help="GET /models has the reasons.",
        ),
        Panel(
            "Requests in progress",
            {"": "sum(striate_in_flight_requests)"},
            kind="stat",
            help="Over all front ends.",
        ),
        Panel(
            "5xx error rate",
            {"": "max(route:striate_request_errors:ratio_rate5m) or vector(0)"},
            unit="percentunit",
            kind="stat",
            red_above=0.01,
            help="Highest rate of any route, over five minutes.",
        ),
        Panel(
            "Requests slower than 1 s",
            {"": "striate:slow_requests:ratio_rate1h"},
            unit="percentunit",
            kind="stat",
            red_above=0.01,
            help="Share of the model requests of the last hour. Objective: at most 1 % in a month.",
        ),
    ],
    "Requests": [
        Panel(
            "Request rate",
            {"{{route}} {{status}}": rate("striate_requests_total", "route", "status")},
            unit="reqps",
            kind="stacked",
            help="By route and HTTP status.",
        ),
        Panel(
            "Latency",
            {
                "p50 {{route}}": quantile(0.5, "striate_request_duration_seconds", "route", where=WORK),
                "p99 {{route}}": quantile(0.99, "striate_request_duration_seconds", "route", where=WORK),
            },
            unit="s",
        ),
        Panel(
            "Errors by code",
            {"{{code}}": f"{rate('striate_errors_total', 'code')} > 0 or vector(0)"},
            unit="reqps",
            kind="stacked",
            help="internal is a bug; the other codes are invalid requests or rejections.",
        ),
        Panel(
            "Rejected requests",
            {"{{reason}}": rate("striate_rejections_total", "reason")},
            unit="reqps",
            kind="stacked",
            help="The service was busy or not ready (429, 503, 504).",
        ),
    ],
    "Latency by stage": [
        Panel(
            "Mean time per stage",
            {"{{stage}}": mean("striate_stage_duration_seconds", "stage", MODEL)},
            unit="s",
            kind="stacked",
            help="queue grows with load; infer is the model and its device.",
        ),
        Panel(
            "Requests slower than 1 s, by window",
            {
                "5 min": "striate:slow_requests:ratio_rate5m",
                "30 min": "striate:slow_requests:ratio_rate30m",
                "1 h": "striate:slow_requests:ratio_rate1h",
                "6 h": "striate:slow_requests:ratio_rate6h",
            },
            unit="percentunit",
            help="Alerts above 14.4 % in one hour and above 6 % in six hours.",
        ),
        Panel(
            "Queue fill level",
            {"{{model}}": f"max by (model) (model:striate_queue_depth:ratio{MODEL})"},
            unit="percentunit",
            help="Share of STRIATE_QUEUE_LENGTH. At 100 % further images get 429.",
        ),
        Panel(
            "Event loop delay",
            {
                "p50": quantile(0.5, "striate_event_loop_lag_seconds"),
                "p99": quantile(0.99, "striate_event_loop_lag_seconds"),
            },
            unit="s",
        ),
    ],
    "Processes": [
        Panel(
            "Memory",
            {"{{process}}": "sum by (process) (striate_process_resident_memory_bytes)"},
            unit="bytes",
            help="Resident memory. Shared pages count in each process.",
        ),
        Panel(
            "File descriptors, share of the limit",
            {"{{process}}": "max by (process) (striate_process_open_fds / striate_process_max_fds)"},
            unit="percentunit",
        ),
        Panel(
            "Engine starts",
            {"in an hour": "sum(increase(striate_engine_starts_total[1h]))"},
            help="Only with several front ends.",
        ),
        Panel(
            "Configuration at start", {"": "striate_service_info"}, kind="table", help="Version, device and GPU engine."
        ),
    ],
    "GPUs": [
        Panel(
            "GPU utilisation",
            {"{{gpu}}": "max by (gpu) (striate_gpu_utilization_ratio)"},
            unit="percentunit",
            help="Share of time with a running kernel; 100 % does not mean that all of the GPU is used.",
        ),
        Panel("GPU memory in use", {"{{gpu}}": "max by (gpu) (gpu:striate_gpu_memory_used:ratio)"}, "percentunit"),
        Panel("GPUs", {"": "striate_gpu_info"}, kind="table", help="Empty on hosts without a GPU."),
    ],
}
