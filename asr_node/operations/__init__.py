"""What operators look at and turn: health, metrics, administration."""
