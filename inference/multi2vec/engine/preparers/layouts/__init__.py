"""How pictures become the arrays that vision graphs of fused models take: a file for each kind of graph."""
