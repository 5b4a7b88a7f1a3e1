"""Commands that ask a server: everything here speaks REST through ``client``.

In: click parameters. Out: calls, and what they answered, printed. One module
per noun; ``connection`` finds the server, ``printing`` shows answers.
"""
