"""Documents for people and programs: the OpenAPI document as YAML and as a page, and the manual.

Pages are HTML without scripts and without anything from elsewhere, so they work where there is no internet.
"""
