"""What is drawn: problems, expressions, and a sample of every op."""
