"""The Threshold lab page."""
