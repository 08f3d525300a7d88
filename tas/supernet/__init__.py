"""The supernet: a network with searchable layers and stages, all candidate networks at once."""
