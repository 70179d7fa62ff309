"""The integer program: what a quantized network computes, exactly, in numpy. It knows neither ONNX nor plans."""
