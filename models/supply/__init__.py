"""The supply network: EPANET 2.3.5 runs on WNTR's network model."""
