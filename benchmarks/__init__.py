"""Speed against named peers: `python -m benchmarks`. Measures; never a test."""
