"""``onnx:<file>``: any network in an ONNX file, cut at any tensor."""
