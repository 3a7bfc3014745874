"""What is declared: tables, sources, pipelines. Nothing is opened, and nothing runs."""
