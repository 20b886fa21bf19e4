"""Open-set recognition, pure: anchors, losses, scores, metrics, methods and the VGG32 network."""
