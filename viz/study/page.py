"""The frame of the report: HTML and CSS, filled in by `report`."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
$mark
<meta http-equiv="Content-Security-Policy" 
  content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root { --ink: #1f2937; --soft: #64748b; --line: #e2e8f0; --flow: #b34f00;
  --sans: Helvetica, Arial, "Liberation Sans", sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.5rem 5rem; max-width: 78rem; color: var(--ink);
  background: #fff; font: 17px/1.6 Charter, "Bitstream Charter", Cambria, Georgia, serif; }
h1, h2, dt, dd, figcaption, table, summary, .kicker, .note { font-family: var(--sans); }
svg text { font-family: var(--sans) !important; }
.kicker { margin: 0; color: var(--flow); font-size: 13px; letter-spacing: .08em;
  text-transform: uppercase; }
h1 { margin: .3rem 0 1rem; font-size: 30px; line-height: 1.25; font-weight: 600;
  overflow-wrap: anywhere; }
h2 { margin: 3.2rem 0 .8rem; padding-top: 1.1rem; border-top: 1px solid var(--line);
  font-size: 20px; font-weight: 600; }
p, ul { margin: .6rem 0; max-width: 44rem; }
.lead { font-size: 19px; }
sub { font-size: .72em; line-height: 0; }
dl { display: flex; flex-wrap: wrap; gap: .4rem 2.4rem; margin: 1.4rem 0 0; font-size: 14px; }
dl div { min-width: 0; }
dt { color: var(--soft); font-size: 12px; }
dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.4rem 0; }
.scroll { overflow-x: auto; }
figure svg { display: block; height: auto; }
figcaption { margin-top: .5rem; max-width: 46rem; color: #475569; font-size: 14px;
  line-height: 1.5; }
figcaption b { color: var(--ink); }
figcaption a { color: var(--soft); white-space: nowrap; }
table { border-collapse: collapse; font-size: 13.5px; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th { color: var(--soft); font-weight: 500; text-align: left; vertical-align: bottom;
  white-space: nowrap; }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; max-width: 22rem; }
.n { text-align: right; white-space: nowrap; }
tr.faint td { color: #94a3b8; }
td.right { color: #2f7d32; }
tr.faint td.right { color: #8fbf92; }
code, pre { font-family: var(--mono); font-size: 13px; }
code { overflow-wrap: anywhere; }
pre { padding: .9rem 1.1rem; max-width: 52rem; background: #f8fafc; border: 1px solid var(--line);
  border-radius: 4px; white-space: pre-wrap; }
details { margin: .8rem 0; }
summary { color: var(--soft); cursor: pointer; font-size: 14px; }
.note { color: var(--soft); font-size: 13px; }
g.node, g.edge { cursor: default; }
@media print {
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; margin-top: 1.6rem; }
  .scroll { overflow: visible; }
  figure svg { min-width: 0 !important; max-width: 100% !important; }
}
</style>
</head>
<body>
<header>
<p class="kicker">minigrad study · $cell</p>
<h1>“$what”</h1>
<p class="lead">$lead</p>
<dl>$facts</dl>
</header>
$body
</body>
</html>
"""
