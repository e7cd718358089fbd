"""`python -m toolkit`: the command line, as the installed command starts it."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # Python puts the folder one stands in first, where another `cli` may lie.
    if not sys.flags.safe_path and Path(__file__).resolve().parent.parent != Path(os.getcwd()).resolve():
        del sys.path[0]

    from cli.app import main

    main()
