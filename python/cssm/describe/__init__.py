"""What a layer or a model is made of, what a call costs, and what it looks at: the work of `cssm describe`."""
