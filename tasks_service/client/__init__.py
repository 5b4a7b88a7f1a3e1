"""REST client of the service: what the command line knows of a server.

In: an address, a token, a call. Out: typed answers, or an error of the same
tree that the server raised. The only home of HTTP in the command line; import
``service`` late, it brings an HTTP library.
"""
