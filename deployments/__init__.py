"""What runs when: schedules and work pools. Never torch."""
