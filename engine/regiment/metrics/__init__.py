"""Counters and histograms in shared cells, and their exposition."""
