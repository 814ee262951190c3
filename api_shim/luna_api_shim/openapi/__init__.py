"""The OpenAPI document of this service, made of its routes, their operations and the models they name.

`schemas` turns models into schemas, `document` puts the whole together, `page` shows it to people.
"""
