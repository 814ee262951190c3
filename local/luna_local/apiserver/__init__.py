"""An embedded Kubernetes API server: kubectl, kopf and client libraries work against it, no cluster needed.

See docs/embedded-api-server.md for what it does and what it deliberately does not.
"""

from luna_local.apiserver.errors import ApiError
from luna_local.apiserver.journal import DataFolderError
from luna_local.apiserver.pods import LogProvider
from luna_local.apiserver.server import EmbeddedApiServer

__all__ = ["ApiError", "DataFolderError", "EmbeddedApiServer", "LogProvider"]
