"""From predictions to evidence: metrics, intervals, contrasts, comparisons, promotion. Needs no model."""
