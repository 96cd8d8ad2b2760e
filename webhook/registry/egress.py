"""The address guard: which addresses may be dialled for whose sake.

Whoever can create a Pod chooses the host that the webhook connects to. So every
address is judged after the name was resolved, and the connection is made to that
very address: a name cannot change between the look and the dial.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from webhook.registry.settings import RegistrySettings

Address = IPv4Address | IPv6Address

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_LOW_32 = 0xFFFFFFFF
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
"""Where clouds hand out credentials to whoever asks from inside."""
_SHARED = ip_network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Guard:
    """The settings' answer to "may this address be dialled for this host and port?"."""

    settings: RegistrySettings

    def refusal(self, host: str, port: int, address: Address) -> str | None:
        """Return why not, or None. ``host`` is the name as it stands in the URL."""
        plain = unwrapped(address)
        egress = self.settings.egress
        if self._named(host, port):
            return None
        if plain in _METADATA:
            return "it is a metadata service's address"
        if any(plain in net for net in egress.deny if net.version == plain.version):
            return "egress.deny holds it"
        if plain.is_loopback:
            return None if egress.local else "it is a loopback address"
        if plain.is_link_local:
            return "it is a link-local address"
        if plain.is_multicast or plain.is_unspecified or plain.is_reserved:
            return "it is no address of a host"
        if not egress.private_ranges and (plain.is_private or plain in _SHARED):
            return "it is a private address, which egress.privateRanges refuses"
        return None

    def _named(self, host: str, port: int) -> bool:
        """Tell whether a configured entry names this host and port, letter by letter."""
        shown = f"[{host}]" if ":" in host else host
        names = {f"{shown}:{port}"}
        if port in (80, 443):  # the ports that a reference leaves out
            names.add(shown)
        configured = {entry.match for entry in self.settings.registries}
        for entry in self.settings.registries:
            configured.update(entry.token_services)
        return bool(names & (configured | set(self.settings.egress.allow)))


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 one (mapped, NAT64, 6to4), where there is one."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in _NAT64):
        return IPv4Address(int(address) & _LOW_32)
    return address
