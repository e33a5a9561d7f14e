"""A line to drag, and what a day of inputs costs there. Drawn within the component `stage`."""
