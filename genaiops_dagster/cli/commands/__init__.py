"""The commands of `genaiops`, one module each."""
