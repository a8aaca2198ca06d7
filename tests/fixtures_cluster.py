"""A local Ray and a local Spark for tests, each started once per session."""
