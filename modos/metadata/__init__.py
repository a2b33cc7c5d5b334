"""The metadata of objects: schema, model, descriptions in files, and linked data.

In: elements as mappings or instances of the generated classes, and files that
describe them (`description`: YAML, JSON, sheets). Out: plain attributes by element
id, validated (`model`), their differences (`diff`), an RDF graph (`graph`) and an
RO-Crate (`ro_crate`). `ids` has the rules for ids.

It knows no object: `modos.object` stores the attributes. It imports only storages and
formats. LinkML, jsonschema and openpyxl are used nowhere else.
"""
