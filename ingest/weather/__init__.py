"""One file a weather provider, and the ladder that always has an answer."""
