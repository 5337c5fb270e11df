"""DICOM objects of a result, one file each."""
