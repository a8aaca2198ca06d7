"""What runs the rest: Ray and Spark sessions, the keyed shuffle, supervised actors, jobs, Kafka, metrics, lineage."""
