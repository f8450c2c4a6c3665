"""python -m docs.site OUT: the whole site, its chapters run, and a notebook of each."""

import argparse
from pathlib import Path

try:
    from .build import build
except ModuleNotFoundError as error:
    raise SystemExit(f"docs.site: {error}; it is there after: pip install -e '.[docs]'") from None

parser = argparse.ArgumentParser(prog="python -m docs.site", description=__doc__)
parser.add_argument("out", type=Path, help="a folder, made where it is not there")
print(build(parser.parse_args().out, say=print))
