"""How the water moves: the only place that imports wntr, the EPANET library and the SWMM engine."""
