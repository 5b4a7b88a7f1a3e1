"""REST client of the service: what the command line knows of a server.

In: an address, a token, a call. Out: typed answers, or an error of the same
tree that the server raised. The only home of HTTP in the command line.
"""

from __future__ import annotations

from tasks_service.client.address import Server
from tasks_service.client.answers import Page, RunAnswer
from tasks_service.client.service import ServiceClient

__all__ = ["Page", "RunAnswer", "Server", "ServiceClient"]
