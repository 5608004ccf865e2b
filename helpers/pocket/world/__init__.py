"""The drawn world: figures in relief, lit and photographed, with every truth about them known."""
