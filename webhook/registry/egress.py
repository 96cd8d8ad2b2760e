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
_THIS_NETWORK = ip_network("0.0.0.0/8")


@dataclass(frozen=True, slots=True)
class Guard:
    """The settings' answer to "may this address be dialled for this host and port?"."""

    settings: RegistrySettings

    def refusal(self, host: str, port: int, address: Address) -> str | None:
        """Return why not, or None. ``host`` is the name as it stands in the URL."""
        plain = unwrapped(address)
        named = self._named(host, port)
        # What a name leads to is no matter of configuration: its DNS may be in wrong hands.
        if plain in _METADATA and (self.settings.egress.local or not self._spelled(host, named)):
            return "it is a metadata service's address"
        if plain.is_link_local and not named:
            return "it is a link-local address"
        if plain.is_loopback:
            local = self.settings.egress.local or named
            return None if local else "it is a loopback address"
        if not named and self._is_api_server(host, port, plain):
            return "it is the API server's address"
        if (
            plain.is_multicast
            or plain.is_reserved
            or plain.is_unspecified
            or plain in _THIS_NETWORK
        ):
            return "it is no address of a host"
        if named:
            return None
        if self._denied(address) or self._denied(plain):
            return "egress.deny holds it"
        if not self.settings.egress.private_ranges and _is_private(plain):
            return "it is a private address, which egress.privateRanges refuses"
        return None

    @staticmethod
    def _spelled(host: str, named: bool) -> bool:
        """Tell whether the configuration holds the address itself, and no name for it."""
        try:
            ip_address(host)
        except ValueError:
            return False
        return named

    def _is_api_server(self, host: str, port: int, address: Address) -> bool:
        own = self.settings.egress.api_server
        return f"{host.lower()}:{port}" in own or f"{address}:{port}" in own

    def _denied(self, address: Address) -> bool:
        deny = self.settings.egress.deny
        return any(address in net for net in deny if net.version == address.version)

    def _named(self, host: str, port: int) -> bool:
        """Tell whether a configured entry names this host and port, not by a glob."""
        shown = f"[{host}]" if ":" in host else host.lower()
        names = {f"{shown}:{port}"}
        if port in (80, 443):  # the ports that a reference leaves out
            names.add(shown)
        configured = {entry.match for entry in self.settings.registries}
        for entry in self.settings.registries:
            configured.update(entry.token_services)
        configured.update(self.settings.egress.allow)
        return bool(names & {name.lower() for name in configured})


def _is_private(address: Address) -> bool:
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_private or site_local or address in _SHARED


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
