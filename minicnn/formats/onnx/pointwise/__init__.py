"""Functions of each value in ONNX files: operators, formulas that stand for some, and how they are written."""
