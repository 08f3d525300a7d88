"""Search: widths and depths learned by gradient descent."""
