"""Studies: grids of configs over seeds, what they measured, and what may be said of it."""
