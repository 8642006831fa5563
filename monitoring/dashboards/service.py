"""Is the service well, what is asked of it, where does the time go, and what of the machine does it take?"""

from monitoring.dashboards.panels import MODEL, Panel, Rows, mean, quantile, rate

WORK = '{route=~"/predict|/cam|/segment|/v2/.*/infer"}'

ROWS: Rows = {
    "Is it well?": [
        Panel("Up", {"": 'min(up{job="striate"})'}, kind="stat", help="1 when Prometheus gets an answer."),
        Panel("Ready", {"": "min(striate_ready)"}, kind="stat", help="1 where /readyz says 200."),
        Panel("Packages refused", {"": "sum(striate_models_refused)"}, kind="stat", red_above=1),
        Panel("Requests in flight", {"": "sum(striate_in_flight_requests)"}, kind="stat"),
        Panel(
            "Answered with 5xx",
            {"": "max(route:striate_request_errors:ratio_rate5m) or vector(0)"},
            unit="percentunit",
            kind="stat",
            red_above=0.01,
            help="The worst route, over five minutes.",
        ),
        Panel(
            "Slower than a second",
            {"": "striate:slow_requests:ratio_rate1h"},
            unit="percentunit",
            kind="stat",
            red_above=0.01,
            help="Of an hour's requests for a model; the objective is 1 % of a month's.",
        ),
    ],
    "What is asked, and what is answered": [
        Panel(
            "Requests", {"{{route}} {{status}}": rate("striate_requests_total", "route", "status")}, "reqps", "stacked"
        ),
        Panel(
            "Time to answer",
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
            help="internal is a bug; the rest says what callers get wrong, or that the service is full.",
        ),
        Panel("Turned away", {"{{reason}}": rate("striate_rejections_total", "reason")}, "reqps", "stacked"),
    ],
    "Where the time goes": [
        Panel(
            "Mean time in each stage",
            {"{{stage}}": mean("striate_stage_duration_seconds", "stage", MODEL)},
            unit="s",
            kind="stacked",
            help="queue grows with load; infer is the model and its device.",
        ),
        Panel(
            "Slower than a second, over windows",
            {
                "5 min": "striate:slow_requests:ratio_rate5m",
                "30 min": "striate:slow_requests:ratio_rate30m",
                "1 h": "striate:slow_requests:ratio_rate1h",
                "6 h": "striate:slow_requests:ratio_rate6h",
            },
            unit="percentunit",
            help="Above 14.4 % in an hour and above 6 % in six hours it alerts.",
        ),
        Panel(
            "How full each queue is",
            {"{{model}}": f"max by (model) (model:striate_queue_depth:ratio{MODEL})"},
            unit="percentunit",
        ),
        Panel(
            "How late the event loop is",
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
            help="Pages that processes share count in each of them.",
        ),
        Panel(
            "Open files and connections, of those allowed",
            {"{{process}}": "max by (process) (striate_process_open_fds / striate_process_max_fds)"},
            unit="percentunit",
        ),
        Panel(
            "Starts of the engine",
            {"in an hour": "sum(increase(striate_engine_starts_total[1h]))"},
            help="Of several front ends; 0 where there is one.",
        ),
        Panel("How it was started", {"": "striate_service_info"}, kind="table"),
    ],
    "GPUs": [
        Panel(
            "Busy",
            {"{{gpu}}": "max by (gpu) (striate_gpu_utilization_ratio)"},
            unit="percentunit",
            help="Share of the time in which any kernel ran: 100 % need not be all that the GPU can do.",
        ),
        Panel("Memory in use", {"{{gpu}}": "max by (gpu) (gpu:striate_gpu_memory_used:ratio)"}, "percentunit"),
        Panel("Which", {"": "striate_gpu_info"}, kind="table"),
    ],
}
