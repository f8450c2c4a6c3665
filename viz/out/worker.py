"""The worker process around the ``pygraphviz`` wheel: DOT on stdin, the drawing on stdout.

Run as a script by ``render.py``: ``worker.py -Tsvg [-Gdpi=144]``.
It imports nothing of ours, so it starts fast.
"""

import os
import sys

if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]  # or our modules would hide others of the same name from pygraphviz


def main(arguments: list[str]) -> int:
    import pygraphviz

    options = {argument[:2]: argument[2:] for argument in arguments}
    graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode("utf-8"))
    for setting in filter(None, [options.get("-G")]):
        key, value = setting.split("=", 1)
        graph.graph_attr[key] = value
    # nop2 is "neato -n2": positions of nodes and edges are taken as given.
    sys.stdout.buffer.write(graph.draw(None, format=options["-T"], prog="nop2"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
