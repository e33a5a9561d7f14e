"""The plane: toys with an exact density, quadrature on a grid, and detectors over seeds."""
