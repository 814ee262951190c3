"""Models as schemas of OpenAPI 3.0, in the spelling of the REST API.

pydantic speaks JSON Schema 2020-12; OpenAPI 3.0 has its own words for null, constants and tuples, and reads nothing
beside a reference. A model that is both sent and answered has two schemas: a request may leave out what has a default
and may have no unknown field, an answer has every field and may gain some.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel

from luna_api_shim.http.parameters import UUID_PATTERN
from luna_api_shim.operations.answers import LEFT_OUT, OPTIONAL
from luna_streams.model import INT32_MAX

Schema = dict[str, Any]
Definitions = Mapping[str, Schema]
Mode = Literal["validation", "serialization"]

PREFIX: Final = "#/components/schemas/"
_DEFINITIONS: Final = "#/$defs/"
_REGIONS: Final = ({"$ref": f"{_DEFINITIONS}RoiAbs"}, {"$ref": f"{_DEFINITIONS}RoiPercent"})
_INT32_MIN: Final = -INT32_MAX - 1
_DEPRECATED: Final[Schema] = {"deprecated": True}

RECTANGLE: Final[Schema] = {
    "type": "array",
    "description": "The older form of a region: x, y, width and height in pixels.",
    "items": {"type": "integer", "minimum": 0, "maximum": 65536},
    "minItems": 4,
    "maxItems": 4,
    "default": [0, 0, 0, 0],
    "deprecated": True,
}
"""What the models take for a region besides their own two forms, before they parse it."""

UNSAID: Final[Mapping[tuple[str, str], Schema]] = MappingProxyType(
    {
        # Without a mode the numbers decide, not the form.
        ("RoiAbs", "mode"): {"default": None},
        ("RoiPercent", "mode"): {"default": None},
        ("Healthcheck", "timeout"): {"maximum": INT32_MAX},
        ("PreviewUrl", "url"): {"format": "uri-reference"},
        ("EventHandlerV1", "detection_handler"): _DEPRECATED,
        ("LivenessV1", "use_shoulders_liveness_filtration"): _DEPRECATED,
        ("AccountAuthorization", "account_id"): _DEPRECATED,
        ("StreamPatch", ""): {"minProperties": 1},
    }
)
"""What a model does not tell of a field, or of itself: it checks it in code, or need not know; None where it tells too
much."""

NEVER_NULL: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"StreamPatch": frozenset({"description", "status"})}
)
"""Fields of requests that a model lets be null and then refuses in code."""


class Schemas:
    """The schemas of a document.

    Args:
        requests: every model that clients send. What is answered, too, has another name as an answer.
    """

    def __init__(self, requests: Iterable[type[BaseModel]]) -> None:
        self.components: dict[str, Schema] = {"Rectangle": dict(RECTANGLE)}
        self._sent: frozenset[str] = frozenset()
        for model in requests:
            self._add(model, "validation")
        self._sent = frozenset(self.components) - {"Rectangle"}

    def request(self, model: type[BaseModel]) -> Schema:
        """Return a reference to what a client sends."""
        return {"$ref": PREFIX + model.__name__}

    def answer(self, model: type[BaseModel]) -> Schema:
        """Return a reference to what a client receives."""
        return {"$ref": PREFIX + self._add(model, "serialization")}

    def _add(self, model: type[BaseModel], mode: Mode) -> str:
        whole = model.model_json_schema(by_alias=False, mode=mode)
        definitions = whole.pop("$defs", {}) | {model.__name__: whole}
        names = {name: f"{name}Answer" if name in self._sent else name for name in definitions}
        for name in definitions:
            self.components[names[name]] = _renamed(_Conversion(definitions, mode).component(name), names)
        return names[model.__name__]


class _Conversion:
    """Turns the definitions of one model into components."""

    def __init__(self, definitions: Definitions, mode: Mode) -> None:
        self._definitions = definitions
        self._mode = mode

    def component(self, name: str) -> Schema:
        """Return a definition as a component."""
        told = self._object(name, self._definitions[name])
        return _with(told, UNSAID.get((name, ""), {}))

    def _object(self, name: str, schema: Schema) -> Schema:
        if "properties" not in schema:
            return self._convert(schema)
        never_null = (LEFT_OUT if self._mode == "serialization" else NEVER_NULL).get(name, ())
        properties = {
            field: _with(self._field(child, is_nullable=field not in never_null), UNSAID.get((name, field), {}))
            for field, child in schema["properties"].items()
        }
        told: Schema = {"type": "object", "properties": properties}
        if description := schema.get("description"):
            told["description"] = description
        if required := self._required(name, schema):
            told["required"] = required
        if self._mode == "validation":
            # What is answered may gain fields; what is sent may not, so that a misspelt one is not lost.
            told["additionalProperties"] = False
        return told

    def _required(self, name: str, schema: Schema) -> list[str]:
        if self._mode == "validation":
            return list(schema.get("required", []))
        return [field for field in schema["properties"] if field not in OPTIONAL.get(name, ())]

    def _field(self, schema: Schema, *, is_nullable: bool) -> Schema:
        """Convert a field; its default is told where it is a plain value."""
        told = self._convert(schema, is_nullable=is_nullable)
        if isinstance(default := schema.get("default"), dict) or default in (None, []):
            told.pop("default", None)
        return told

    def _convert(self, schema: Schema, *, is_nullable: bool = True) -> Schema:
        told = {word: value for word, value in schema.items() if word not in ("title", "anyOf", "oneOf", "$ref")}
        _spell_values(told)
        if isinstance(told.get("items"), dict):
            told["items"] = self._convert(told["items"])
        alternatives = [*schema.get("oneOf", ()), *schema.get("anyOf", ())]
        if alternatives:
            return self._alternatives(alternatives, is_nullable=is_nullable) | told
        if "$ref" not in schema:
            return told
        reference = {"$ref": _reference(schema["$ref"])}
        return {"allOf": [reference], **told} if told.keys() - {"default"} else reference

    def _alternatives(self, alternatives: list[Schema], *, is_nullable: bool) -> Schema:
        real = [one for one in alternatives if one.get("type") != "null"]
        word, converted = "oneOf", [self._convert(one) for one in real]
        if all(region in real for region in _REGIONS):
            converted.append({"$ref": f"{PREFIX}Rectangle"})
            if self._mode == "validation":
                word = "anyOf"  # a region without `mode` may fit two forms and is taken all the same
        if is_nullable and len(real) < len(alternatives):
            # Null beside a reference is not heard: the first alternative is spelled out.
            converted[0] = self._spelled_out(real[0]) | {"nullable": True}
        return converted[0] if len(converted) == 1 else {word: converted}

    def _spelled_out(self, schema: Schema) -> Schema:
        if "$ref" not in schema:
            return self._convert(schema)
        return self.component(schema["$ref"].removeprefix(_DEFINITIONS))


def _with(told: Schema, words: Schema) -> Schema:
    return {word: value for word, value in (told | words).items() if value is not None}


def _spell_values(told: Schema) -> None:
    """Put what a schema says of values into the words of OpenAPI 3.0."""
    if "const" in told:
        told["enum"] = [told.pop("const")]
    if "prefixItems" in told:
        told["items"] = told.pop("prefixItems")[0]
    if told.get("pattern") == UUID_PATTERN:
        told["format"] = "uuid"
    if told.get("type") == "integer" and "enum" not in told:
        if told.get("maximum") == INT32_MAX or told.get("minimum") == _INT32_MIN:
            told["format"] = "int32"
        for word, bound in (("minimum", _INT32_MIN), ("maximum", INT32_MAX)):
            if told.get(word) == bound:
                del told[word]
    if "discriminator" in told:
        mapping = {value: _reference(ref) for value, ref in told["discriminator"]["mapping"].items()}
        told["discriminator"] = told["discriminator"] | {"mapping": mapping}


def _reference(reference: str) -> str:
    return PREFIX + reference.removeprefix(_DEFINITIONS)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return a schema whose references follow the names."""
    if isinstance(value, list):
        return [_renamed(one, names) for one in value]
    if isinstance(value, dict):
        return {key: _renamed(child, names) for key, child in value.items()}
    if isinstance(value, str) and value.startswith(PREFIX):
        name = value.removeprefix(PREFIX)
        return PREFIX + names.get(name, name)
    return value
