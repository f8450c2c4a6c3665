"""What a Tensor is to Python and to NumPy.

Reading values, the array API's namespace, NumPy's own functions called on it,
pickling, and its expression as text.
"""
