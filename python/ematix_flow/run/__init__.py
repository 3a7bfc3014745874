"""What is declared, on its way to the core and back: connections, runs and what they tell, the exported registry."""
