"""What goes out, and the only place that wires the packages together."""
