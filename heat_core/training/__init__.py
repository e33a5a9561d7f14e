"""Training of an energy without a formula: objectives, the loop, and where negatives come from."""
