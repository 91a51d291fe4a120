"""Which valves cut a part of the network off, and what goes dry with it."""
