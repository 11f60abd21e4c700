"""Pure decisions: (desired, observed, memory, now) -> Plan. No I/O, no clock, no chance, no logging."""
