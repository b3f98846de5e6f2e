"""`python -m regiment.cli` is the console script."""

from regiment.cli import main

main()
