"""How much of something there shall be, by its load, by alarms and by the time of day. Pure."""
