"""The ImageNet recipe: `cssm train-imagenet`. Source: training specification 11."""
