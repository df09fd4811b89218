"""Where a request comes from, as far as that can be known."""

from __future__ import annotations

import functools
import ipaddress
import logging
from dataclasses import dataclass
from typing import Any

from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

logger = logging.getLogger("users.origin")

#: Characters of a user agent that are kept: enough to tell a person which of their devices it was.
AGENT_LENGTH = 200


@dataclass(frozen=True)
class Origin:
    """An address, None where there is none (a command, a socket), and what the client calls itself."""

    address: str | None = None
    user_agent: str = ""

    @classmethod
    def of(cls, request: Any) -> Origin:
        """``request`` is Django's or DRF's; None is nowhere.

        The address is the connection's, or the one that the outermost of ``NUM_PROXIES`` trusted proxies saw:
        what a client writes into ``X-Forwarded-For`` itself is never taken.
        """
        if request is None:
            return NOWHERE
        _note_unknown_proxy(request)
        agent = request.META.get("HTTP_USER_AGENT", "")
        return cls(_address(BaseThrottle().get_ident(request)), _printable(agent)[:AGENT_LENGTH])

    @property
    def network(self) -> str:
        """Whom to hold responsible: an IPv4 address; of IPv6 the 64 bits that one household is given. All
        whose address cannot be told are one."""
        if self.address is None:
            return "unknown"
        address = ipaddress.ip_address(self.address)
        return (
            str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
        )


NOWHERE = Origin()


@functools.cache
def _warn() -> None:
    logger.warning(
        "A request came with X-Forwarded-For, and NUM_PROXIES is 0. If a proxy of yours wrote it, everybody "
        "has the proxy's address here, and shares its brakes: set NUM_PROXIES."
    )


def _note_unknown_proxy(request: Any) -> None:
    """Once in each process. Anybody can send the header, so it is no more than a hint."""
    if "HTTP_X_FORWARDED_FOR" in request.META and not api_settings.NUM_PROXIES:
        _warn()


def _address(text: str | None) -> str | None:
    try:
        # Without the zone of a link's own address, which no database takes.
        found = ipaddress.ip_address((text or "").strip().partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
