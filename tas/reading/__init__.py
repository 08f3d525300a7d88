"""Reading: from an `nn.Module` to the plan of what it is made of."""
