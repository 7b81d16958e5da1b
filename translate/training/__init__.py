"""From folders of images to a model: datasets, `fit`, learning curves, model cards."""
