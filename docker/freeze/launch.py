"""The frozen program's first module: calls `entrypoint.__main__:main` as the console script does."""

import sys

from entrypoint.__main__ import main

sys.exit(main())
