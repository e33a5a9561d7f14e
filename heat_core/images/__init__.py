"""Images: datasets, classifiers, and how images become the features of a pack."""
