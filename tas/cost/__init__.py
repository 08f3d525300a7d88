"""Cost: what a network costs, counted, exact for an architecture, expected over distributions; budgets."""
