"""Benchmarks: ours and the installed peers, measured side by side.  `python -m benchmarks
--help`."""
