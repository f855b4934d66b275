"""That the race measures what it says, on those who are always there."""
