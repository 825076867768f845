"""What a clean-up keeps and what it frees: the rule, the facts it judges, the deletion."""
