"""Engine versions, upgrades and service updates."""
