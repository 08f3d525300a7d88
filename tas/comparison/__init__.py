"""Methods compared at equal cost: the runs that a comparison is made of, how they are run, what they show."""
