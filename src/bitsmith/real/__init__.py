"""Instructions on float32 numbers, each with its meaning in numpy: every operation rounded once, sums in the order that is written here."""
