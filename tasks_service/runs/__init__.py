"""The life of a run, apart from executing it: accept, cancel, run again, read its log.

In: requests of people and triggers. Out: stored runs. Used by the API, by
triggers and by the scheduler; knows the store and the blob stores, no broker
and no HTTP.
"""
