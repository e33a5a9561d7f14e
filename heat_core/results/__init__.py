"""Results: the paper's table, its formats, its bootstrap, and the page that holds them all."""
