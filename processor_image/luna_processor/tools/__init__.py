"""What people run by hand: look into a source (`probe`), run the pipeline on it without any server (`analyze`)."""
