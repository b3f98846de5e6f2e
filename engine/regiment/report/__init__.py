"""Results of a run, for people and machines."""
