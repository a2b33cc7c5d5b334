"""The classes of the schema, generated from schema/modos.yaml: do not edit them here."""

# id: https://w3id.org/sdsc-ordes/modos-schema
# description: Metadata of multi-omics digital objects, their assays, samples, data and references.
# license: https://creativecommons.org/publicdomain/zero/1.0/

import dataclasses
import re
from dataclasses import dataclass
from datetime import (
    date,
    datetime,
    time
)
from typing import (
    Any,
    ClassVar,
    Dict,
    List,
    Optional,
    Union
)

from jsonasobj2 import (
    JsonObj,
    as_dict
)
from linkml_runtime.linkml_model.meta import (
    EnumDefinition,
    PermissibleValue,
    PvFormulaOptions
)
from linkml_runtime.utils.curienamespace import CurieNamespace
from linkml_runtime.utils.enumerations import EnumDefinitionImpl
from linkml_runtime.utils.formatutils import (
    camelcase,
    sfx,
    underscore
)
from linkml_runtime.utils.metamodelcore import (
    bnode,
    empty_dict,
    empty_list
)
from linkml_runtime.utils.slot import Slot
from linkml_runtime.utils.yamlutils import (
    YAMLRoot,
    extended_float,
    extended_int,
    extended_str
)
from rdflib import (
    Namespace,
    URIRef
)

from linkml_runtime.linkml_model.types import Datetime, Integer, String, Uriorcurie
from linkml_runtime.utils.metamodelcore import URIorCURIE, XSDDateTime

metamodel_version = "1.12.0"
version = "0.4.0"

# Namespaces
BTO = CurieNamespace('BTO', 'http://purl.obolibrary.org/obo/BTO_')
CL = CurieNamespace('CL', 'http://purl.obolibrary.org/obo/CL_')
EDAM = CurieNamespace('EDAM', 'http://edamontology.org/')
NCBITAXON = CurieNamespace('NCBITaxon', 'http://purl.obolibrary.org/obo/NCBITaxon_')
NCIT = CurieNamespace('NCIT', 'http://purl.obolibrary.org/obo/NCIT_')
UBERON = CurieNamespace('UBERON', 'http://purl.obolibrary.org/obo/UBERON_')
LINKML = CurieNamespace('linkml', 'https://w3id.org/linkml/')
MODOS = CurieNamespace('modos', 'https://w3id.org/sdsc-ordes/modos-schema/')
SCHEMA = CurieNamespace('schema', 'http://schema.org/')
DEFAULT_ = MODOS


# Types

# Class references
class NamedThingId(extended_str):
    pass


class MODOId(NamedThingId):
    pass


class AssayId(NamedThingId):
    pass


class SampleId(NamedThingId):
    pass


class DataEntityId(NamedThingId):
    pass


class AlignmentSetId(DataEntityId):
    pass


class VariantSetId(DataEntityId):
    pass


class MassSpectrometryResultsId(DataEntityId):
    pass


class ArrayId(DataEntityId):
    pass


class ReferenceGenomeId(NamedThingId):
    pass


class ReferenceSequenceId(NamedThingId):
    pass


@dataclass(repr=False)
class NamedThing(YAMLRoot):
    """
    Anything that has an identity.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["NamedThing"]
    class_class_curie: ClassVar[str] = "modos:NamedThing"
    class_name: ClassVar[str] = "NamedThing"
    class_model_uri: ClassVar[URIRef] = MODOS.NamedThing

    id: Union[str, NamedThingId] = None
    name: Optional[str] = None
    description: Optional[str] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, NamedThingId):
            self.id = NamedThingId(self.id)

        if self.name is not None and not isinstance(self.name, str):
            self.name = str(self.name)

        if self.description is not None and not isinstance(self.description, str):
            self.description = str(self.description)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class MODO(NamedThing):
    """
    A digital object that holds the data of several omics and their description.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["MODO"]
    class_class_curie: ClassVar[str] = "modos:MODO"
    class_name: ClassVar[str] = "MODO"
    class_model_uri: ClassVar[URIRef] = MODOS.MODO

    id: Union[str, MODOId] = None
    creation_date: Union[str, XSDDateTime] = None
    last_update_date: Union[str, XSDDateTime] = None
    has_assay: Optional[Union[Union[str, AssayId], list[Union[str, AssayId]]]] = empty_list()
    source_uri: Optional[Union[str, URIorCURIE]] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, MODOId):
            self.id = MODOId(self.id)

        if self._is_empty(self.creation_date):
            self.MissingRequiredField("creation_date")
        if not isinstance(self.creation_date, XSDDateTime):
            self.creation_date = XSDDateTime(self.creation_date)

        if self._is_empty(self.last_update_date):
            self.MissingRequiredField("last_update_date")
        if not isinstance(self.last_update_date, XSDDateTime):
            self.last_update_date = XSDDateTime(self.last_update_date)

        if not isinstance(self.has_assay, list):
            self.has_assay = [self.has_assay] if self.has_assay is not None else []
        self.has_assay = [v if isinstance(v, AssayId) else AssayId(v) for v in self.has_assay]

        if self.source_uri is not None and not isinstance(self.source_uri, URIorCURIE):
            self.source_uri = URIorCURIE(self.source_uri)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class Assay(NamedThing):
    """
    A procedure that turned samples into data.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["Assay"]
    class_class_curie: ClassVar[str] = "modos:Assay"
    class_name: ClassVar[str] = "Assay"
    class_model_uri: ClassVar[URIRef] = MODOS.Assay

    id: Union[str, AssayId] = None
    omics_type: Union[Union[str, "OmicsType"], list[Union[str, "OmicsType"]]] = None
    has_data: Optional[Union[Union[str, DataEntityId], list[Union[str, DataEntityId]]]] = empty_list()
    has_sample: Optional[Union[Union[str, SampleId], list[Union[str, SampleId]]]] = empty_list()
    sample_processing: Optional[Union[str, list[str]]] = empty_list()

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, AssayId):
            self.id = AssayId(self.id)

        if self._is_empty(self.omics_type):
            self.MissingRequiredField("omics_type")
        if not isinstance(self.omics_type, list):
            self.omics_type = [self.omics_type] if self.omics_type is not None else []
        self.omics_type = [v if isinstance(v, OmicsType) else OmicsType(v) for v in self.omics_type]

        if not isinstance(self.has_data, list):
            self.has_data = [self.has_data] if self.has_data is not None else []
        self.has_data = [v if isinstance(v, DataEntityId) else DataEntityId(v) for v in self.has_data]

        if not isinstance(self.has_sample, list):
            self.has_sample = [self.has_sample] if self.has_sample is not None else []
        self.has_sample = [v if isinstance(v, SampleId) else SampleId(v) for v in self.has_sample]

        if not isinstance(self.sample_processing, list):
            self.sample_processing = [self.sample_processing] if self.sample_processing is not None else []
        self.sample_processing = [v if isinstance(v, str) else str(v) for v in self.sample_processing]

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class Sample(NamedThing):
    """
    Biological material that was studied.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["Sample"]
    class_class_curie: ClassVar[str] = "modos:Sample"
    class_name: ClassVar[str] = "Sample"
    class_model_uri: ClassVar[URIRef] = MODOS.Sample

    id: Union[str, SampleId] = None
    cell_type: Optional[Union[str, URIorCURIE]] = None
    source_material: Optional[Union[str, URIorCURIE]] = None
    sex: Optional[Union[str, "Sex"]] = None
    taxon_id: Optional[Union[Union[str, URIorCURIE], list[Union[str, URIorCURIE]]]] = empty_list()
    collector: Optional[Union[str, list[str]]] = empty_list()
    source_uri: Optional[Union[str, URIorCURIE]] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, SampleId):
            self.id = SampleId(self.id)

        if self.cell_type is not None and not isinstance(self.cell_type, URIorCURIE):
            self.cell_type = URIorCURIE(self.cell_type)

        if self.source_material is not None and not isinstance(self.source_material, URIorCURIE):
            self.source_material = URIorCURIE(self.source_material)

        if self.sex is not None and not isinstance(self.sex, Sex):
            self.sex = Sex(self.sex)

        if not isinstance(self.taxon_id, list):
            self.taxon_id = [self.taxon_id] if self.taxon_id is not None else []
        self.taxon_id = [v if isinstance(v, URIorCURIE) else URIorCURIE(v) for v in self.taxon_id]

        if not isinstance(self.collector, list):
            self.collector = [self.collector] if self.collector is not None else []
        self.collector = [v if isinstance(v, str) else str(v) for v in self.collector]

        if self.source_uri is not None and not isinstance(self.source_uri, URIorCURIE):
            self.source_uri = URIorCURIE(self.source_uri)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class DataEntity(NamedThing):
    """
    A file or array of data.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["DataEntity"]
    class_class_curie: ClassVar[str] = "modos:DataEntity"
    class_name: ClassVar[str] = "DataEntity"
    class_model_uri: ClassVar[URIRef] = MODOS.DataEntity

    id: Union[str, DataEntityId] = None
    data_path: str = None
    data_format: Union[str, "DataFormat"] = None
    zarr_kind: Optional[Union[str, "ZarrKind"]] = None
    axes: Optional[Union[str, list[str]]] = empty_list()
    shape: Optional[Union[int, list[int]]] = empty_list()
    modalities: Optional[Union[str, list[str]]] = empty_list()
    has_sample: Optional[Union[Union[str, SampleId], list[Union[str, SampleId]]]] = empty_list()
    has_reference: Optional[Union[Union[str, ReferenceGenomeId], list[Union[str, ReferenceGenomeId]]]] = empty_list()
    derived_from: Optional[Union[str, list[str]]] = empty_list()
    data_checksum: Optional[str] = None
    data_size: Optional[int] = None
    data_digest: Optional[str] = None
    index_digests: Optional[Union[str, list[str]]] = empty_list()
    plain_checksum: Optional[str] = None
    plain_size: Optional[int] = None
    plain_digest: Optional[str] = None
    seal_digest: Optional[str] = None
    header_digests: Optional[Union[str, list[str]]] = empty_list()
    recipients: Optional[Union[str, list[str]]] = empty_list()
    index_recipients: Optional[Union[str, list[str]]] = empty_list()
    cuts_checksum: Optional[str] = None
    sender: Optional[str] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, DataEntityId):
            self.id = DataEntityId(self.id)

        if self._is_empty(self.data_path):
            self.MissingRequiredField("data_path")
        if not isinstance(self.data_path, str):
            self.data_path = str(self.data_path)

        if self._is_empty(self.data_format):
            self.MissingRequiredField("data_format")
        if not isinstance(self.data_format, DataFormat):
            self.data_format = DataFormat(self.data_format)

        if self.zarr_kind is not None and not isinstance(self.zarr_kind, ZarrKind):
            self.zarr_kind = ZarrKind(self.zarr_kind)

        if not isinstance(self.axes, list):
            self.axes = [self.axes] if self.axes is not None else []
        self.axes = [v if isinstance(v, str) else str(v) for v in self.axes]

        if not isinstance(self.shape, list):
            self.shape = [self.shape] if self.shape is not None else []
        self.shape = [v if isinstance(v, int) else int(v) for v in self.shape]

        if not isinstance(self.modalities, list):
            self.modalities = [self.modalities] if self.modalities is not None else []
        self.modalities = [v if isinstance(v, str) else str(v) for v in self.modalities]

        if not isinstance(self.has_sample, list):
            self.has_sample = [self.has_sample] if self.has_sample is not None else []
        self.has_sample = [v if isinstance(v, SampleId) else SampleId(v) for v in self.has_sample]

        if not isinstance(self.has_reference, list):
            self.has_reference = [self.has_reference] if self.has_reference is not None else []
        self.has_reference = [v if isinstance(v, ReferenceGenomeId) else ReferenceGenomeId(v) for v in self.has_reference]

        if not isinstance(self.derived_from, list):
            self.derived_from = [self.derived_from] if self.derived_from is not None else []
        self.derived_from = [v if isinstance(v, str) else str(v) for v in self.derived_from]

        if self.data_checksum is not None and not isinstance(self.data_checksum, str):
            self.data_checksum = str(self.data_checksum)

        if self.data_size is not None and not isinstance(self.data_size, int):
            self.data_size = int(self.data_size)

        if self.data_digest is not None and not isinstance(self.data_digest, str):
            self.data_digest = str(self.data_digest)

        if not isinstance(self.index_digests, list):
            self.index_digests = [self.index_digests] if self.index_digests is not None else []
        self.index_digests = [v if isinstance(v, str) else str(v) for v in self.index_digests]

        if self.plain_checksum is not None and not isinstance(self.plain_checksum, str):
            self.plain_checksum = str(self.plain_checksum)

        if self.plain_size is not None and not isinstance(self.plain_size, int):
            self.plain_size = int(self.plain_size)

        if self.plain_digest is not None and not isinstance(self.plain_digest, str):
            self.plain_digest = str(self.plain_digest)

        if self.seal_digest is not None and not isinstance(self.seal_digest, str):
            self.seal_digest = str(self.seal_digest)

        if not isinstance(self.header_digests, list):
            self.header_digests = [self.header_digests] if self.header_digests is not None else []
        self.header_digests = [v if isinstance(v, str) else str(v) for v in self.header_digests]

        if not isinstance(self.recipients, list):
            self.recipients = [self.recipients] if self.recipients is not None else []
        self.recipients = [v if isinstance(v, str) else str(v) for v in self.recipients]

        if not isinstance(self.index_recipients, list):
            self.index_recipients = [self.index_recipients] if self.index_recipients is not None else []
        self.index_recipients = [v if isinstance(v, str) else str(v) for v in self.index_recipients]

        if self.cuts_checksum is not None and not isinstance(self.cuts_checksum, str):
            self.cuts_checksum = str(self.cuts_checksum)

        if self.sender is not None and not isinstance(self.sender, str):
            self.sender = str(self.sender)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class AlignmentSet(DataEntity):
    """
    Reads aligned to a reference.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["AlignmentSet"]
    class_class_curie: ClassVar[str] = "modos:AlignmentSet"
    class_name: ClassVar[str] = "AlignmentSet"
    class_model_uri: ClassVar[URIRef] = MODOS.AlignmentSet

    id: Union[str, AlignmentSetId] = None
    data_path: str = None
    data_format: Union[str, "DataFormat"] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, AlignmentSetId):
            self.id = AlignmentSetId(self.id)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class VariantSet(DataEntity):
    """
    Variants called against a reference.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["VariantSet"]
    class_class_curie: ClassVar[str] = "modos:VariantSet"
    class_name: ClassVar[str] = "VariantSet"
    class_model_uri: ClassVar[URIRef] = MODOS.VariantSet

    id: Union[str, VariantSetId] = None
    data_path: str = None
    data_format: Union[str, "DataFormat"] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, VariantSetId):
            self.id = VariantSetId(self.id)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class MassSpectrometryResults(DataEntity):
    """
    Results of mass spectrometry.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["MassSpectrometryResults"]
    class_class_curie: ClassVar[str] = "modos:MassSpectrometryResults"
    class_name: ClassVar[str] = "MassSpectrometryResults"
    class_model_uri: ClassVar[URIRef] = MODOS.MassSpectrometryResults

    id: Union[str, MassSpectrometryResultsId] = None
    data_path: str = None
    data_format: Union[str, "DataFormat"] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, MassSpectrometryResultsId):
            self.id = MassSpectrometryResultsId(self.id)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class Array(DataEntity):
    """
    Numbers in one or more dimensions.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["Array"]
    class_class_curie: ClassVar[str] = "modos:Array"
    class_name: ClassVar[str] = "Array"
    class_model_uri: ClassVar[URIRef] = MODOS.Array

    id: Union[str, ArrayId] = None
    data_path: str = None
    data_format: Union[str, "DataFormat"] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, ArrayId):
            self.id = ArrayId(self.id)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class ReferenceGenome(NamedThing):
    """
    The genome that data were aligned to, in a file of the object or in a reference store.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["ReferenceGenome"]
    class_class_curie: ClassVar[str] = "modos:ReferenceGenome"
    class_name: ClassVar[str] = "ReferenceGenome"
    class_model_uri: ClassVar[URIRef] = MODOS.ReferenceGenome

    id: Union[str, ReferenceGenomeId] = None
    data_path: Optional[str] = None
    data_format: Optional[Union[str, "DataFormat"]] = None
    assembly: Optional[str] = None
    seqcol_digest: Optional[str] = None
    has_sequence: Optional[Union[Union[str, ReferenceSequenceId], list[Union[str, ReferenceSequenceId]]]] = empty_list()
    taxon_id: Optional[Union[Union[str, URIorCURIE], list[Union[str, URIorCURIE]]]] = empty_list()
    source_uri: Optional[Union[str, URIorCURIE]] = None
    version: Optional[str] = None
    data_checksum: Optional[str] = None
    data_size: Optional[int] = None
    data_digest: Optional[str] = None
    index_digests: Optional[Union[str, list[str]]] = empty_list()
    plain_checksum: Optional[str] = None
    plain_size: Optional[int] = None
    plain_digest: Optional[str] = None
    seal_digest: Optional[str] = None
    header_digests: Optional[Union[str, list[str]]] = empty_list()
    recipients: Optional[Union[str, list[str]]] = empty_list()
    index_recipients: Optional[Union[str, list[str]]] = empty_list()
    cuts_checksum: Optional[str] = None
    sender: Optional[str] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, ReferenceGenomeId):
            self.id = ReferenceGenomeId(self.id)

        if self.data_path is not None and not isinstance(self.data_path, str):
            self.data_path = str(self.data_path)

        if self.data_format is not None and not isinstance(self.data_format, DataFormat):
            self.data_format = DataFormat(self.data_format)

        if self.assembly is not None and not isinstance(self.assembly, str):
            self.assembly = str(self.assembly)

        if self.seqcol_digest is not None and not isinstance(self.seqcol_digest, str):
            self.seqcol_digest = str(self.seqcol_digest)

        if not isinstance(self.has_sequence, list):
            self.has_sequence = [self.has_sequence] if self.has_sequence is not None else []
        self.has_sequence = [v if isinstance(v, ReferenceSequenceId) else ReferenceSequenceId(v) for v in self.has_sequence]

        if not isinstance(self.taxon_id, list):
            self.taxon_id = [self.taxon_id] if self.taxon_id is not None else []
        self.taxon_id = [v if isinstance(v, URIorCURIE) else URIorCURIE(v) for v in self.taxon_id]

        if self.source_uri is not None and not isinstance(self.source_uri, URIorCURIE):
            self.source_uri = URIorCURIE(self.source_uri)

        if self.version is not None and not isinstance(self.version, str):
            self.version = str(self.version)

        if self.data_checksum is not None and not isinstance(self.data_checksum, str):
            self.data_checksum = str(self.data_checksum)

        if self.data_size is not None and not isinstance(self.data_size, int):
            self.data_size = int(self.data_size)

        if self.data_digest is not None and not isinstance(self.data_digest, str):
            self.data_digest = str(self.data_digest)

        if not isinstance(self.index_digests, list):
            self.index_digests = [self.index_digests] if self.index_digests is not None else []
        self.index_digests = [v if isinstance(v, str) else str(v) for v in self.index_digests]

        if self.plain_checksum is not None and not isinstance(self.plain_checksum, str):
            self.plain_checksum = str(self.plain_checksum)

        if self.plain_size is not None and not isinstance(self.plain_size, int):
            self.plain_size = int(self.plain_size)

        if self.plain_digest is not None and not isinstance(self.plain_digest, str):
            self.plain_digest = str(self.plain_digest)

        if self.seal_digest is not None and not isinstance(self.seal_digest, str):
            self.seal_digest = str(self.seal_digest)

        if not isinstance(self.header_digests, list):
            self.header_digests = [self.header_digests] if self.header_digests is not None else []
        self.header_digests = [v if isinstance(v, str) else str(v) for v in self.header_digests]

        if not isinstance(self.recipients, list):
            self.recipients = [self.recipients] if self.recipients is not None else []
        self.recipients = [v if isinstance(v, str) else str(v) for v in self.recipients]

        if not isinstance(self.index_recipients, list):
            self.index_recipients = [self.index_recipients] if self.index_recipients is not None else []
        self.index_recipients = [v if isinstance(v, str) else str(v) for v in self.index_recipients]

        if self.cuts_checksum is not None and not isinstance(self.cuts_checksum, str):
            self.cuts_checksum = str(self.cuts_checksum)

        if self.sender is not None and not isinstance(self.sender, str):
            self.sender = str(self.sender)

        super().__post_init__(**kwargs)


@dataclass(repr=False)
class ReferenceSequence(NamedThing):
    """
    One sequence of a reference genome.
    """
    _inherited_slots: ClassVar[list[str]] = []

    class_class_uri: ClassVar[URIRef] = MODOS["ReferenceSequence"]
    class_class_curie: ClassVar[str] = "modos:ReferenceSequence"
    class_name: ClassVar[str] = "ReferenceSequence"
    class_model_uri: ClassVar[URIRef] = MODOS.ReferenceSequence

    id: Union[str, ReferenceSequenceId] = None
    sequence_md5: Optional[str] = None
    refget_digest: Optional[str] = None
    source_uri: Optional[Union[str, URIorCURIE]] = None
    version: Optional[str] = None

    def __post_init__(self, *_: str, **kwargs: Any):
        if self._is_empty(self.id):
            self.MissingRequiredField("id")
        if not isinstance(self.id, ReferenceSequenceId):
            self.id = ReferenceSequenceId(self.id)

        if self.sequence_md5 is not None and not isinstance(self.sequence_md5, str):
            self.sequence_md5 = str(self.sequence_md5)

        if self.refget_digest is not None and not isinstance(self.refget_digest, str):
            self.refget_digest = str(self.refget_digest)

        if self.source_uri is not None and not isinstance(self.source_uri, URIorCURIE):
            self.source_uri = URIorCURIE(self.source_uri)

        if self.version is not None and not isinstance(self.version, str):
            self.version = str(self.version)

        super().__post_init__(**kwargs)


# Enumerations
class Sex(EnumDefinitionImpl):

    Male = PermissibleValue(
        text="Male",
        description="Male.")
    Female = PermissibleValue(
        text="Female",
        description="Female.")

    _defn = EnumDefinition(
        name="Sex",
    )

class OmicsType(EnumDefinitionImpl):

    GENOMICS = PermissibleValue(
        text="GENOMICS",
        description="Genomics.",
        meaning=NCIT["C84343"])
    TRANSCRIPTOMICS = PermissibleValue(
        text="TRANSCRIPTOMICS",
        description="Transcriptomics.",
        meaning=NCIT["C153189"])
    METABOLOMICS = PermissibleValue(
        text="METABOLOMICS",
        description="Metabolomics.",
        meaning=NCIT["C49019"])
    PROTEOMICS = PermissibleValue(
        text="PROTEOMICS",
        description="Proteomics.",
        meaning=NCIT["C20085"])

    _defn = EnumDefinition(
        name="OmicsType",
    )

class DataFormat(EnumDefinitionImpl):

    CRAM = PermissibleValue(
        text="CRAM",
        description="Compressed aligned reads.",
        meaning=EDAM["format_3462"])
    BAM = PermissibleValue(
        text="BAM",
        description="Binary aligned reads.",
        meaning=EDAM["format_2572"])
    VCF = PermissibleValue(
        text="VCF",
        description="Variants as text.",
        meaning=EDAM["format_3016"])
    BCF = PermissibleValue(
        text="BCF",
        description="Binary variants.",
        meaning=EDAM["format_3020"])
    FASTA = PermissibleValue(
        text="FASTA",
        description="Sequences.",
        meaning=EDAM["format_1929"])
    FASTQ = PermissibleValue(
        text="FASTQ",
        description="Reads with qualities.",
        meaning=EDAM["format_1930"])
    BED = PermissibleValue(
        text="BED",
        description="Intervals.",
        meaning=EDAM["format_3003"])
    GFF3 = PermissibleValue(
        text="GFF3",
        description="Annotated features.",
        meaning=EDAM["format_1975"])
    TwoBit = PermissibleValue(
        text="TwoBit",
        description="Sequences, two bits a base.",
        meaning=EDAM["format_3009"])
    Zarr = PermissibleValue(
        text="Zarr",
        description="Chunked arrays.",
        meaning=EDAM["format_3915"])
    HDF5 = PermissibleValue(
        text="HDF5",
        description="Arrays in one file; AnnData and MuData (.h5ad, .h5mu).",
        meaning=EDAM["format_3590"])
    Loom = PermissibleValue(
        text="Loom",
        description="Matrices of cells and genes.",
        meaning=EDAM["format_3913"])
    mzML = PermissibleValue(
        text="mzML",
        description="Mass spectra.",
        meaning=EDAM["format_3244"])
    Parquet = PermissibleValue(
        text="Parquet",
        description="Tables in columns.")
    mzTab = PermissibleValue(
        text="mzTab",
        description="Results of mass spectrometry.",
        meaning=EDAM["format_3681"])
    TSV = PermissibleValue(
        text="TSV",
        description="Tab-separated values.",
        meaning=EDAM["format_3475"])
    JSON = PermissibleValue(
        text="JSON",
        description="JSON.",
        meaning=EDAM["format_3464"])

    _defn = EnumDefinition(
        name="DataFormat",
    )

    @classmethod
    def _addvals(cls):
        setattr(cls, "OME-TIFF",
            PermissibleValue(
                text="OME-TIFF",
                description="Images with their metadata.",
                meaning=EDAM["format_3727"]))

class ZarrKind(EnumDefinitionImpl):

    AnnData = PermissibleValue(
        text="AnnData",
        description="Cells and their genes: the layout of the package anndata.")
    MuData = PermissibleValue(
        text="MuData",
        description="Several modalities of the same cells: the layout of the package mudata.")
    SpatialData = PermissibleValue(
        text="SpatialData",
        description="Images, shapes, points and tables in one space: the layout of the package spatialdata.")
    xarray = PermissibleValue(
        text="xarray",
        description="Arrays with named dimensions.")

    _defn = EnumDefinition(
        name="ZarrKind",
    )

    @classmethod
    def _addvals(cls):
        setattr(cls, "VCF-Zarr",
            PermissibleValue(
                text="VCF-Zarr",
                description="Variants of a cohort: the VCF Zarr specification."))
        setattr(cls, "OME-Zarr",
            PermissibleValue(
                text="OME-Zarr",
                description="Images in several resolutions: the OME-NGFF specification."))

# Slots
class slots:
    pass

slots.id = Slot(uri=SCHEMA.identifier, name="id", curie=SCHEMA.curie('identifier'),
                   model_uri=MODOS.id, domain=None, range=URIRef)

slots.name = Slot(uri=SCHEMA.name, name="name", curie=SCHEMA.curie('name'),
                   model_uri=MODOS.name, domain=None, range=Optional[str])

slots.description = Slot(uri=SCHEMA.description, name="description", curie=SCHEMA.curie('description'),
                   model_uri=MODOS.description, domain=None, range=Optional[str])

slots.creation_date = Slot(uri=MODOS.creation_date, name="creation_date", curie=MODOS.curie('creation_date'),
                   model_uri=MODOS.creation_date, domain=None, range=Optional[Union[str, XSDDateTime]])

slots.last_update_date = Slot(uri=MODOS.last_update_date, name="last_update_date", curie=MODOS.curie('last_update_date'),
                   model_uri=MODOS.last_update_date, domain=None, range=Optional[Union[str, XSDDateTime]])

slots.source_uri = Slot(uri=MODOS.source_uri, name="source_uri", curie=MODOS.curie('source_uri'),
                   model_uri=MODOS.source_uri, domain=None, range=Optional[Union[str, URIorCURIE]])

slots.version = Slot(uri=MODOS.version, name="version", curie=MODOS.curie('version'),
                   model_uri=MODOS.version, domain=None, range=Optional[str])

slots.omics_type = Slot(uri=MODOS.omics_type, name="omics_type", curie=MODOS.curie('omics_type'),
                   model_uri=MODOS.omics_type, domain=None, range=Optional[Union[Union[str, "OmicsType"], list[Union[str, "OmicsType"]]]])

slots.sample_processing = Slot(uri=MODOS.sample_processing, name="sample_processing", curie=MODOS.curie('sample_processing'),
                   model_uri=MODOS.sample_processing, domain=None, range=Optional[Union[str, list[str]]])

slots.cell_type = Slot(uri=MODOS.cell_type, name="cell_type", curie=MODOS.curie('cell_type'),
                   model_uri=MODOS.cell_type, domain=None, range=Optional[Union[str, URIorCURIE]])

slots.source_material = Slot(uri=MODOS.source_material, name="source_material", curie=MODOS.curie('source_material'),
                   model_uri=MODOS.source_material, domain=None, range=Optional[Union[str, URIorCURIE]])

slots.sex = Slot(uri=MODOS.sex, name="sex", curie=MODOS.curie('sex'),
                   model_uri=MODOS.sex, domain=None, range=Optional[Union[str, "Sex"]])

slots.taxon_id = Slot(uri=MODOS.taxon_id, name="taxon_id", curie=MODOS.curie('taxon_id'),
                   model_uri=MODOS.taxon_id, domain=None, range=Optional[Union[Union[str, URIorCURIE], list[Union[str, URIorCURIE]]]])

slots.collector = Slot(uri=MODOS.collector, name="collector", curie=MODOS.curie('collector'),
                   model_uri=MODOS.collector, domain=None, range=Optional[Union[str, list[str]]])

slots.data_path = Slot(uri=MODOS.data_path, name="data_path", curie=MODOS.curie('data_path'),
                   model_uri=MODOS.data_path, domain=None, range=Optional[str])

slots.data_format = Slot(uri=MODOS.data_format, name="data_format", curie=MODOS.curie('data_format'),
                   model_uri=MODOS.data_format, domain=None, range=Optional[Union[str, "DataFormat"]])

slots.zarr_kind = Slot(uri=MODOS.zarr_kind, name="zarr_kind", curie=MODOS.curie('zarr_kind'),
                   model_uri=MODOS.zarr_kind, domain=None, range=Optional[Union[str, "ZarrKind"]])

slots.derived_from = Slot(uri=MODOS.derived_from, name="derived_from", curie=MODOS.curie('derived_from'),
                   model_uri=MODOS.derived_from, domain=None, range=Optional[Union[str, list[str]]])

slots.axes = Slot(uri=MODOS.axes, name="axes", curie=MODOS.curie('axes'),
                   model_uri=MODOS.axes, domain=None, range=Optional[Union[str, list[str]]])

slots.shape = Slot(uri=MODOS.shape, name="shape", curie=MODOS.curie('shape'),
                   model_uri=MODOS.shape, domain=None, range=Optional[Union[int, list[int]]])

slots.modalities = Slot(uri=MODOS.modalities, name="modalities", curie=MODOS.curie('modalities'),
                   model_uri=MODOS.modalities, domain=None, range=Optional[Union[str, list[str]]])

slots.data_checksum = Slot(uri=MODOS.data_checksum, name="data_checksum", curie=MODOS.curie('data_checksum'),
                   model_uri=MODOS.data_checksum, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[a-f0-9]{128}$'))

slots.data_size = Slot(uri=MODOS.data_size, name="data_size", curie=MODOS.curie('data_size'),
                   model_uri=MODOS.data_size, domain=None, range=Optional[int])

slots.data_digest = Slot(uri=MODOS.data_digest, name="data_digest", curie=MODOS.curie('data_digest'),
                   model_uri=MODOS.data_digest, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[a-f0-9]{64}$'))

slots.index_digests = Slot(uri=MODOS.index_digests, name="index_digests", curie=MODOS.curie('index_digests'),
                   model_uri=MODOS.index_digests, domain=None, range=Optional[Union[str, list[str]]],
                   pattern=re.compile(r'^[a-f0-9]{64}$'))

slots.plain_checksum = Slot(uri=MODOS.plain_checksum, name="plain_checksum", curie=MODOS.curie('plain_checksum'),
                   model_uri=MODOS.plain_checksum, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[a-f0-9]{128}$'))

slots.plain_size = Slot(uri=MODOS.plain_size, name="plain_size", curie=MODOS.curie('plain_size'),
                   model_uri=MODOS.plain_size, domain=None, range=Optional[int])

slots.plain_digest = Slot(uri=MODOS.plain_digest, name="plain_digest", curie=MODOS.curie('plain_digest'),
                   model_uri=MODOS.plain_digest, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[a-f0-9]{64}$'))

slots.seal_digest = Slot(uri=MODOS.seal_digest, name="seal_digest", curie=MODOS.curie('seal_digest'),
                   model_uri=MODOS.seal_digest, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[a-f0-9]{128}$'))

slots.header_digests = Slot(uri=MODOS.header_digests, name="header_digests", curie=MODOS.curie('header_digests'),
                   model_uri=MODOS.header_digests, domain=None, range=Optional[Union[str, list[str]]],
                   pattern=re.compile(r'^[a-f0-9]{128}$'))

slots.sender = Slot(uri=MODOS.sender, name="sender", curie=MODOS.curie('sender'),
                   model_uri=MODOS.sender, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[A-Za-z0-9+/]{43}=$'))

slots.recipients = Slot(uri=MODOS.recipients, name="recipients", curie=MODOS.curie('recipients'),
                   model_uri=MODOS.recipients, domain=None, range=Optional[Union[str, list[str]]],
                   pattern=re.compile(r'^[A-Za-z0-9+/]{43}=$'))

slots.index_recipients = Slot(uri=MODOS.index_recipients, name="index_recipients", curie=MODOS.curie('index_recipients'),
                   model_uri=MODOS.index_recipients, domain=None, range=Optional[Union[str, list[str]]],
                   pattern=re.compile(r'^[A-Za-z0-9+/]{43}=$'))

slots.cuts_checksum = Slot(uri=MODOS.cuts_checksum, name="cuts_checksum", curie=MODOS.curie('cuts_checksum'),
                   model_uri=MODOS.cuts_checksum, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[a-f0-9]{128}$'))

slots.sequence_md5 = Slot(uri=MODOS.sequence_md5, name="sequence_md5", curie=MODOS.curie('sequence_md5'),
                   model_uri=MODOS.sequence_md5, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[a-f0-9]{32}$'))

slots.refget_digest = Slot(uri=MODOS.refget_digest, name="refget_digest", curie=MODOS.curie('refget_digest'),
                   model_uri=MODOS.refget_digest, domain=None, range=Optional[str],
                   pattern=re.compile(r'^SQ\.[A-Za-z0-9_-]{32}$'))

slots.assembly = Slot(uri=MODOS.assembly, name="assembly", curie=MODOS.curie('assembly'),
                   model_uri=MODOS.assembly, domain=None, range=Optional[str])

slots.seqcol_digest = Slot(uri=MODOS.seqcol_digest, name="seqcol_digest", curie=MODOS.curie('seqcol_digest'),
                   model_uri=MODOS.seqcol_digest, domain=None, range=Optional[str],
                   pattern=re.compile(r'^[A-Za-z0-9_-]{32}$'))

slots.has_part = Slot(uri=MODOS.has_part, name="has_part", curie=MODOS.curie('has_part'),
                   model_uri=MODOS.has_part, domain=None, range=Optional[Union[Union[str, NamedThingId], list[Union[str, NamedThingId]]]])

slots.has_assay = Slot(uri=MODOS.has_assay, name="has_assay", curie=MODOS.curie('has_assay'),
                   model_uri=MODOS.has_assay, domain=None, range=Optional[Union[Union[str, AssayId], list[Union[str, AssayId]]]])

slots.has_sample = Slot(uri=MODOS.has_sample, name="has_sample", curie=MODOS.curie('has_sample'),
                   model_uri=MODOS.has_sample, domain=None, range=Optional[Union[Union[str, SampleId], list[Union[str, SampleId]]]])

slots.has_data = Slot(uri=MODOS.has_data, name="has_data", curie=MODOS.curie('has_data'),
                   model_uri=MODOS.has_data, domain=None, range=Optional[Union[Union[str, DataEntityId], list[Union[str, DataEntityId]]]])

slots.has_sequence = Slot(uri=MODOS.has_sequence, name="has_sequence", curie=MODOS.curie('has_sequence'),
                   model_uri=MODOS.has_sequence, domain=None, range=Optional[Union[Union[str, ReferenceSequenceId], list[Union[str, ReferenceSequenceId]]]])

slots.has_reference = Slot(uri=MODOS.has_reference, name="has_reference", curie=MODOS.curie('has_reference'),
                   model_uri=MODOS.has_reference, domain=None, range=Optional[Union[Union[str, ReferenceGenomeId], list[Union[str, ReferenceGenomeId]]]])

slots.MODO_creation_date = Slot(uri=MODOS.creation_date, name="MODO_creation_date", curie=MODOS.curie('creation_date'),
                   model_uri=MODOS.MODO_creation_date, domain=MODO, range=Union[str, XSDDateTime])

slots.MODO_last_update_date = Slot(uri=MODOS.last_update_date, name="MODO_last_update_date", curie=MODOS.curie('last_update_date'),
                   model_uri=MODOS.MODO_last_update_date, domain=MODO, range=Union[str, XSDDateTime])

slots.Assay_omics_type = Slot(uri=MODOS.omics_type, name="Assay_omics_type", curie=MODOS.curie('omics_type'),
                   model_uri=MODOS.Assay_omics_type, domain=Assay, range=Union[Union[str, "OmicsType"], list[Union[str, "OmicsType"]]])

slots.DataEntity_data_path = Slot(uri=MODOS.data_path, name="DataEntity_data_path", curie=MODOS.curie('data_path'),
                   model_uri=MODOS.DataEntity_data_path, domain=DataEntity, range=str)

slots.DataEntity_data_format = Slot(uri=MODOS.data_format, name="DataEntity_data_format", curie=MODOS.curie('data_format'),
                   model_uri=MODOS.DataEntity_data_format, domain=DataEntity, range=Union[str, "DataFormat"])
