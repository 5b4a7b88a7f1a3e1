"""Commands that are the service, or look after it: ``up``, ``server``, ``db``, ``config`` …"""
