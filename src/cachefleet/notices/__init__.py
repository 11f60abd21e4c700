"""What subscribers get and when: which messages a filter lets pass, their forms, delays between attempts. Pure."""
