"""Every assumption about Google that the product rests on, each with a check that can be run."""
