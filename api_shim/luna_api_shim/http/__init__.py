"""HTTP, apart from what it is about: reading requests, writing answers, refusing in the documented form."""
