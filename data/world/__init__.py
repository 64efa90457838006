"""The small world: what is true in it, how it is asked about (`tasks`) and how it is told (`prose`)."""
