"""What the layers share: transforms, kernels, position encodings, norms, stems."""
