"""How good results are: feature networks, KID, the evaluation of a model on test images."""
