"""Data: labelled images, augmented in whole batches, from the data sets that TAS knows by name."""
