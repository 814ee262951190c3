"""What nobody asks for and has to be done all the same."""
