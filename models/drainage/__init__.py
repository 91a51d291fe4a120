"""The drainage network: SWMM runs from state to state, and over weather ensembles."""
