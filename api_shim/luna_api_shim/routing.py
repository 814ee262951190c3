"""Resources and their methods: one route per path, so that a wrong method is told from an unknown page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from luna_api_shim.frame import RESOURCE

Endpoint = Callable[[Request], Awaitable[Response]]


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


def resource(path: str, **methods: Endpoint) -> Route:
    """Return the route of a path.

    Args:
        path: with `{api:api}` for the version and `{stream_id:id}` for ids.
        methods: GET=..., POST=...
    """
    template = path.replace(":id}", "}")

    async def dispatch(request: Request) -> Response:
        api = request.path_params.get("api")
        request.scope[RESOURCE] = template.replace("{api:api}", str(api))
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, dispatch, methods=list(methods))
