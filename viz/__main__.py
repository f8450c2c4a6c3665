"""`python -m viz`: the same as the command `minigrad`."""

import sys

from .cli import main

sys.exit(main())
