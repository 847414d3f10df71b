"""Whether toy networks and studies come out the same, to the last digit, whatever computes them: make same-digits."""
