"""Search: a supernet that holds all networks, and what it says of their widths and depths."""
