"""A host's local socket for the SDK's session: as the SDK's own adapter, but a connection that fails is closed."""

from __future__ import annotations

import socket

from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

_TIMEOUT_S = 30


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.settimeout(self.timeout)
        try:
            opened.connect(self.unix_socket)
        except OSError:
            opened.close()
            raise
        self.sock = opened


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> UnixHTTPConnection:  # type: ignore[override] # as the SDK's own, which the stubs leave out
        return _Connection(self.base_url, self.socket_path, _TIMEOUT_S)


class SocketAdapter(UnixHTTPAdapter):
    """For `session.mount("http+docker://", …)`."""

    def get_connection(self, url: str | bytes, proxies: object = None) -> UnixHTTPConnectionPool:
        """The one pool of this socket."""
        with self.pools.lock:
            if (pool := self.pools.get(url)) is None:
                pool = self.pools[url] = _Pool(str(url), self.socket_path, _TIMEOUT_S, maxsize=self.max_pool_size)
        assert isinstance(pool, _Pool)
        return pool
