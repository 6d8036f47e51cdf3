"""`python -m multi2vec`."""

import sys

from multi2vec.cli import main

sys.exit(main())
