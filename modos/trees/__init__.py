"""Zarr trees of other programs as data of elements: AnnData, MuData, SpatialData, VCF Zarr, OME-Zarr, xarray.

A tree is a folder of an object with all files of a Zarr hierarchy as they came.
Two files beside it say what it is: the list of its names (`counts.zarr.files`),
and the list of the digests of the parts of that and of every file
(`counts.zarr.parts`), whose root is in the metadata.

In: folders, zip files and S3 prefixes with a Zarr hierarchy. Out: the files of
an object, what they say of themselves, and a store that zarr-python reads.

It imports storages, formats and errors, and knows no object.
anndata, mudata, spatialdata and xarray are opened by `tree_opening` alone.
"""
