"""Decides which addresses a request of ours may go to: public ones, and those that the settings name.

Pure: whoever resolves names asks here about each address that came out.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from schemas.errors import Permanent

Address: TypeAlias = IPv4Address | IPv6Address

_NAT64 = IPv6Network("64:ff9b::/96")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)


@dataclass(frozen=True)
class Allowed:
    """Hosts (exact names) and networks that may be reached though they are not public."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Read names, addresses and networks, separated by commas. Raises Permanent for anything else."""
        hosts, networks = set(), []
        for one in filter(None, (part.strip().lower().rstrip(".") for part in text.split(","))):
            try:
                networks.append(str(ip_network(one)))
            except ValueError as error:
                # Digits and dots that are no address would be a name that never matches.
                if not _NAME.fullmatch(one) or re.fullmatch(r"[0-9./:]+", one):
                    raise Permanent(
                        f"{one!r} is neither a host name nor a network: write for example "
                        "hooks.internal,10.1.0.0/16"
                    ) from error
                hosts.add(one)
        return cls(frozenset(hosts), tuple(networks))

    def refusal(self, host: str, address: str) -> str | None:
        """Why `host` must not be asked at `address`; None when it may."""
        found = _plain(address)
        if host.lower().rstrip(".") in self.hosts or any(
            found in ip_network(network) for network in self.networks
        ):
            return None
        kind = _kind(found)
        return kind and f"{host} is at {address}, which is {kind}"


def _plain(address: str) -> Address:
    """The address that is meant: IPv4 has many disguises in IPv6."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        return found
    if found in _NAT64:
        return IPv4Address(int(found) & 0xFFFFFFFF)
    return found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1] or found


def _kind(address: Address) -> str | None:
    """What keeps an address from being a public one; None when it is one."""
    if address.is_loopback:
        return "this machine itself"
    if address.is_link_local:
        return "link-local (cloud metadata lives there)"
    if address.is_multicast:
        return "a multicast address"
    if isinstance(address, IPv6Address) and int(address) < 1 << 32:
        return "an IPv4 address in disguise"
    return None if address.is_global else "not a public address"
