"""How notices go out: in words, as CAP 1.2, as an Atom feed and as JSON."""
