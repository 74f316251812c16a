"""Who is calling, and may they: credentials to Principal, Principal and policies to Grant."""
