"""Where a URL that somebody gave may lead: one set of rules for every outgoing request."""
