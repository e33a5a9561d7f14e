"""What the pages of real features share: the data, its scores, the selection, the inspector."""
