"""The Toy lab page."""
