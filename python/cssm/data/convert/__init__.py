"""From published layouts on disk to record files. Source: data specification 3 to 6."""
