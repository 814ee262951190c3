"""Operations on the service itself."""

from __future__ import annotations

from typing import Final

from luna_api_shim.errors import BadQuery, Disabled, NotReady, UnsupportedMediaType
from luna_api_shim.http.parameters import (
    ACCEPT_CONFIG,
    ACCEPT_DOCUMENT,
    ACCEPT_MANUAL,
    INCLUDE_LUNA_SERVICES,
)
from luna_api_shim.http.replies import error_content
from luna_api_shim.operations import answers
from luna_api_shim.operations.declaration import Answer, Operation

_VERSION: Final = {"Version": {"api": 1, "major": 1, "minor": 1, "patch": 18}}
_FAULT: Final = {"component": "db", "error": error_content(NotReady())[1], "status": 0}

VERSION: Final = Operation(
    "getVersion",
    "version",
    "tell the version",
    "Tells the version of LUNA Streams whose API this is.",
    answers=(Answer(200, "The version.", answers.ServiceVersion, _VERSION, msgpack=True),),
)
HEALTH: Final = Operation(
    "healthcheck",
    "health",
    "tell whether all is well",
    "Asks everything the service depends on whether it is well.",
    parameters=(INCLUDE_LUNA_SERVICES,),
    answers=(
        Answer(200, "All is well.", answers.Healthy, {"execution_time": 0.0041}),
        Answer(502, "Something is not well.", answers.UnhealthyComponents, {"errors": [_FAULT]}),
    ),
    errors=(BadQuery("include_luna_services"),),
)
METRICS: Final = Operation(
    "metrics",
    "metrics",
    "count requests",
    "Counts requests by path and status, and tells a few figures of the queue, for Prometheus.",
    answers=(
        Answer(
            200,
            "The figures.",
            texts={
                "text/plain": "Prometheus' text format.",
                "application/openmetrics-text": "OpenMetrics, for clients whose `Accept` names it.",
            },
        ),
    ),
    errors=(Disabled(),),
)
SPEC: Final = Operation(
    "getSpec",
    "documents",
    "get this document",
    "Answers this document: as YAML for programs, as a page for people. What `Accept` prefers decides; without a "
    "preference it is YAML.",
    parameters=(ACCEPT_DOCUMENT,),
    answers=(
        Answer(
            200,
            "The document.",
            texts={"application/x-yaml": "OpenAPI 3.0 in YAML.", "text/html": "The same as a page."},
        ),
    ),
    errors=(UnsupportedMediaType(),),
)
MANUAL: Final = Operation(
    "getDevManual",
    "documents",
    "get the manual",
    "Answers the first page of the manual of this service. The other pages lie below this path.",
    parameters=(ACCEPT_MANUAL,),
    answers=(Answer(200, "The manual.", texts={"text/html": "A page with links to the others."}),),
)
CONFIG: Final = Operation(
    "getConfig",
    "config",
    "tell the configuration",
    "Tells the settings of the service. Passwords and tokens are masked.",
    parameters=(ACCEPT_CONFIG,),
    answers=(
        Answer(200, "The settings.", answers.Configuration, texts={"text/plain": "One setting a line, in sections."}),
    ),
    errors=(UnsupportedMediaType(),),
)
PLUGINS: Final = Operation(
    "getPlugins",
    "plugins",
    "list the plugins",
    "Lists the plugins that run beside the service, and whether they do.",
    answers=(Answer(200, "The plugins.", answers.Plugins, {"plugins": [{"name": "influx_monitoring", "running": 1}]}),),
)
