"""Pictures from files, as 8-bit pixels of one size: PNG, JPEG, TIFF and DICOM."""
