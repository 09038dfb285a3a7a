"""`python -m vertex_emulator` is `vertex-emulator`."""

from vertex_emulator.cli import main

main()
