"""Time arithmetic: the timer wheel and the pacer. No clock is read here."""
