"""What providers' APIs for webhooks have in common: a list, and what is done to one of it.

In: where the list is, and how one of it is written. Out: a Conversation. Pure.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks_service.triggers.provider import Call, Conversation
from tasks_service.triggers.push import items, optional


@dataclass(frozen=True, slots=True)
class Hooks:
    """The webhooks of one repository.

    Attributes:
        url: Of the list; one is below it, by its number or name.
        page: What is added to see as many as the server shows at once.
        inside: Keys of the list within its answer.
        address: Keys of the URL within one of them.
        name: The key of the number or name of one.
        change: The method that changes one.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    page: str
    inside: tuple[str, ...] = ()
    address: tuple[str, ...] = ("url",)
    name: str = "id"
    change: str = "PATCH"

    def keep(self, url: str, body: Mapping[str, Any]) -> Conversation:
        """Have exactly one webhook with that URL, with this body."""
        mine = yield from self._mine(url)
        if mine:
            yield Call(self.change, f"{self.url}/{mine[0]}", self.headers, body)
        else:
            yield Call("POST", self.url, self.headers, body)
        for name in mine[1:]:
            yield Call("DELETE", f"{self.url}/{name}", self.headers)

    def drop(self, url: str) -> Conversation:
        """Have none with that URL."""
        for name in (yield from self._mine(url)):
            yield Call("DELETE", f"{self.url}/{name}", self.headers)

    def _mine(self, url: str) -> Generator[Call, Any, list[str]]:
        answer = yield Call("GET", self.url + self.page, self.headers)
        return list(self._found(answer, url))

    def _found(self, answer: Any, url: str) -> Iterator[str]:
        for one in items(answer, *self.inside):
            name = one.get(self.name) if isinstance(one, Mapping) else None
            if optional(one, *self.address) == url and is_name(name):
                yield str(name)


def is_name(name: Any) -> bool:
    """Return whether a foreign number or name can stand in a URL."""
    if isinstance(name, bool) or not isinstance(name, int | str):
        return False
    text = str(name)
    return 0 < len(text) <= 100 and all(c.isalnum() or c in "{}-" for c in text) and text.isascii()
