"""What the pages of the plane share: training, its controls, readings, chains, figures, colours."""
