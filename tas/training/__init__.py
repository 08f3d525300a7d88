"""Training: plain networks trained by Lightning, checkpoints, Ctrl-C, the progress bar."""
