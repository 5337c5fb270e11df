"""From a PACS study to DICOM results: one engine, result objects, and the ways in and out of a hospital."""
