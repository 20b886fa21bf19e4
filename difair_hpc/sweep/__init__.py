"""The engine: search spaces, stages, the plan, and the reconciler that carries it out."""
