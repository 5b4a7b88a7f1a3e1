"""The calls about notifications; part of ``ServiceClient``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tasks_service.client.answers import JSON, read_object
from tasks_service.client.calls import API, Calls, quoted


class NotificationCalls(Calls):
    """Who is told how runs end, and what became of each message."""

    def notifications(self) -> Iterator[JSON]:
        """Yield who is told of the ends of runs."""
        return self._items("/notifications", {}, limit=10_000)

    def add_notification(self, name: str, body: JSON) -> JSON:
        """Add a receiver; the answer holds its secret, this once."""
        path = f"{API}/notifications/{quoted(name)}"
        answer = self._http.request("PUT", path, body=dict(body), repeat=False)
        return read_object(answer.body, "a notification")

    def delete_notification(self, name: str) -> None:
        """Remove a receiver and its deliveries."""
        self._http.request("DELETE", f"{API}/notifications/{quoted(name)}", repeat=False)

    def deliveries(self, name: str, filters: Mapping[str, str]) -> Iterator[JSON]:
        """Yield the newest deliveries of a receiver."""
        return self._items(f"/notifications/{quoted(name)}/deliveries", filters, limit=100)

    def test_notification(self, name: str) -> JSON:
        """Have a test message sent; return its delivery."""
        path = f"{API}/notifications/{quoted(name)}/test"
        return read_object(self._http.request("POST", path, repeat=False).body, "a delivery")

    def redeliver(self, name: str, delivery: str) -> JSON:
        """Try a delivery again from the start."""
        path = f"{API}/notifications/{quoted(name)}/deliveries/{quoted(delivery)}/redeliver"
        return read_object(self._http.request("POST", path, repeat=True).body, "a delivery")
