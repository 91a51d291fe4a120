"""One file a payload format: bytes and topic in, raw readings out."""
