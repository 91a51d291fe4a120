"""How much water districts will draw: a ladder of what is known, and a model that learns from years of inflows."""
