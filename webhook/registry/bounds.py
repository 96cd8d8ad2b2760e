"""How many requests one prediction takes at most, whatever is answered to them.

Each number is a limit that the machine holds to where it stands; here they are put together.
"""

from webhook.registry.authorizer import MAX_HOPS
from webhook.registry.exchange import Target
from webhook.registry.fetch import MAX_CUTS
from webhook.registry.session import MAX_ATTEMPTS
from webhook.registry.settings import Depth

_TOKEN_REQUESTS = 2
"""A token is asked for by POST, and by GET where POST is not known."""
_LOOKS = {Depth.EXISTS: 0, Depth.PLATFORM: 2, Depth.WHOLE: 1}
"""How often content is gone through: at depth platform with the authority at hand first."""


def most_requests(target: Target, credentials: int, documents: int, *, recalls: bool) -> int:
    """Return the bound for ``target`` with so many credentials.

    ``documents`` is how many contents the image consists of: its root, and whatever that
    refers to (a walk gives up at ``REFERENCES_LIMIT`` mentions for each platform).
    ``recalls``: authority of an earlier exchange may be tried first, and in vain.
    """
    hosts = target.registry.hosts
    plain = 2 if any(host.fall_back for host in hosts) else 1
    chain = MAX_HOPS * plain
    request = MAX_ATTEMPTS * (chain + _TOKEN_REQUESTS * MAX_HOPS)
    paths = 2 if target.reference.digest else 1
    # HEAD of each path at each host, and GET where its answer tells too little.
    resolving = len(hosts) * paths * 2 * request
    fetching = _LOOKS[target.depth] * documents * MAX_CUTS * len(hosts) * request
    explaining = chain
    rounds = 2 if recalls else 1
    return max(1, credentials) * rounds * (resolving + explaining + fetching)
