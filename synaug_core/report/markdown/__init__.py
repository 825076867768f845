"""What a person takes along as Markdown: the comparison, a model card and a data card."""
