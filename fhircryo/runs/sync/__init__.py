"""What is scheduled: increments, state, objection and erasure. No clinical value is kept here."""
