"""What runs networks and prepares pictures for them: one adapter per library, and the plain rules they follow."""
