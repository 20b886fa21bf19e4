"""Benchmarks: class splits, readers of the data sets' own files, and batches on the device."""
