"""The report of `minigrad study`: a model trained on a text, looked into, and written up."""
