"""Times of calls, by turns, where they run, and what they say of networks that were not timed."""
