"""Ways a notice leaves the house: CAP, Atom, JSON, and the words themselves."""
