"""The OpenAPI document of this service, made of its routes, their operations and the models they name.

`schemas` turns models into schemas, `document` puts the whole together, `original` says what the document of LUNA
Streams says otherwise.
"""
