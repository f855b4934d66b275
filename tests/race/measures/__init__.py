"""What is measured: the same code for every peer."""
