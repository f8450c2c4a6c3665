"""Graphs as text: `source` writes a program in another library, `show` lists a graph line by line.

`spellings` and `javascript` hold, a row an op, how each library writes it; `helpers` what a library
has no word for; `names` and `walks` what variables are called and in which order nodes are visited.
"""
