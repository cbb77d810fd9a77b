"""What is agreed with each sender, and how a message is told to be of which."""
