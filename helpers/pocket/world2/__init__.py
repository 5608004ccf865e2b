"""The drawn world, second version: figures in relief, lit and photographed."""
