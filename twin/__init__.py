"""What the twin is: its words, its judgement, its memory. No engine, no broker, no web framework."""
