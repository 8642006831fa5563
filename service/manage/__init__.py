"""The operator's command line, a file a command: `python -m service.manage`."""
