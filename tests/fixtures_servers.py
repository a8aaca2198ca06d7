"""Real servers for tests: an embedded Kafka broker and a PostgreSQL, each started once per session."""
