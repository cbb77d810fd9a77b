"""What is written down of each access, as IHE BALP has it."""
