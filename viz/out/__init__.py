"""What is written: DOT, what Graphviz draws of it, a page around it."""
