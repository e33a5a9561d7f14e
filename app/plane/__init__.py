"""What the two pages of the plane share: training, controls, readings, figures."""
