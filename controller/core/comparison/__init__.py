"""Statistics of two versions that heard the same recordings. Plain arrays in, numbers out."""
