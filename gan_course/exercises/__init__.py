"""The exercises of the lessons, one file a subject: what is right, what often goes wrong, and what to say then."""
