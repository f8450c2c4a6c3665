"""The page that computes: graphs as programs for a browser, the scripts that run and draw them.

program : a graph as plain data, its ops as JavaScript (`minigrad.printing`).
frame   : one self-contained HTML page out of a drawing, a program, a table.
tape.js, picture.js, panel.js, study.js, look.js, page.css : what runs in the page, inlined.
"""
