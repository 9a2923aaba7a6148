"""Models that come with simstudy, one family per file."""
