"""Pictures of streams, from the workers that have them."""
