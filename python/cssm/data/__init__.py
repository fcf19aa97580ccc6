"""Data: record files, published layouts and their converters, and loaders."""
