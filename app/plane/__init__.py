"""What the two pages of the plane share: training and its controls, readings, chains,
figures, colours."""
