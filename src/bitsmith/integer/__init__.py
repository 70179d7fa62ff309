"""The integer program: what a quantized network computes, in numpy and exactly. It is the specification; it knows neither ONNX nor plans."""
