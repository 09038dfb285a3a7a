"""`python -m genaiops_dagster.cli` is `genaiops`."""

from genaiops_dagster.cli.app import main

main()
