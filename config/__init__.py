"""Settings, clock, calendars, logging and the error tree: what every other room stands on."""
