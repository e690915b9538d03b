"""What a chain costs beside the loop one would have written by hand. Run by ``python -m tests.benchmarks``."""
