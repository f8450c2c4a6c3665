"""How a gradient is judged: oracles, comparisons, verdicts, and where an error began."""
