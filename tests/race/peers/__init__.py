"""Who races: one adapter a file, and nothing in it but how that peer is started, called and reloaded."""
