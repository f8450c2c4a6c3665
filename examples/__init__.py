"""Ten small projects, each whole in one file: python -m examples.NAME --steps 500

Data, vocabulary, batches, cell, head, loss, optimiser and a measure on what was held out; every
`main` returns its numbers, and tests/test_examples.py runs them in a short form.
"""
