"""Learning and sampling, on tensors only: the energy, its chain, its training and its files."""
