"""Benchmarks: ours and the installed peers, side by side: `python -m benchmarks --help`."""
