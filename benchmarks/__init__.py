"""The benchmark: layerfs side by side with what people run today. Nothing imports this package."""
