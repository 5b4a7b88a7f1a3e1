"""REST API v1: HTTP in, the life of runs and the store behind it, problems out.

No rule of the domain lives here. Routes are plain functions in the thread
pool; only uploads and live logs are asynchronous, and those hold no database
connection while they wait.
"""
