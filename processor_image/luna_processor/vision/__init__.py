"""Pictures in, faces and bodies out: which part is searched, by which network, and what its numbers mean."""
