"""Resources and their methods: one route per path, so that a wrong method is told from an unknown page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from luna_api_shim.http.frame import RESOURCE
from luna_api_shim.operations.declaration import OPERATION, Endpoint, Operation, Served

_CONVERTOR = re.compile(r"(?<!{api):\w+}")


class _ApiVersion(Convertor[int]):
    regex = "[12]"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


class _Id(Convertor[str]):
    """A UUID; capital letters are as good, as they were in LUNA Streams."""

    regex = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

    def convert(self, value: str) -> str:
        return value.lower()

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("api", _ApiVersion())
register_url_convertor("id", _Id())


class Resource(Route):
    """A path and its methods.

    Attributes:
        template: the path as the document writes it, but for `{api:api}`.
        operations: by method; what is not part of the documented API has none.
    """

    template: str
    operations: Mapping[str, Operation]


def resource(path: str, **methods: Endpoint | Served) -> Resource:
    """Return the route of a path.

    Args:
        path: with `{api:api}` for the version and `{stream_id:id}` for ids.
        methods: GET=LIST.by(list_), POST=CREATE.by(create); an endpoint alone serves what is not documented.
    """
    template = _CONVERTOR.sub("}", path)
    endpoints = {name: it.endpoint if isinstance(it, Served) else it for name, it in methods.items()}
    operations = {name: it.operation for name, it in methods.items() if isinstance(it, Served)}

    async def dispatch(request: Request) -> Response:
        api = request.path_params.get("api")
        method = "GET" if request.method == "HEAD" else request.method
        request.scope[RESOURCE] = template.replace("{api:api}", str(api))
        request.scope[OPERATION] = operations.get(method)
        return await endpoints[method](request)

    route = Resource(path, dispatch, methods=list(methods))
    route.template, route.operations = template, MappingProxyType(operations)
    return route
