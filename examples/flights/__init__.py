"""The flights story: a year of real departures and arrivals, from broker to served model."""
