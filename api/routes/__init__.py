"""One file a resource: map, serve, compute nothing."""
