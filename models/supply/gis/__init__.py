"""A supply network from the layers of a geographic information system, and back."""
