"""From graph to graph, with the same values: rules that `run.reference` can be asked about."""
