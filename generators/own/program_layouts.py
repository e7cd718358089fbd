"""The layouts of programs that a generator is exported in. No torch here: the command line reads them from it."""

GENERATOR_LAYOUTS = {  # with their files' endings
    "generator-onnx": (".onnx",),
    "generator-torch-export": (".pt2",),
    "generator-torchscript": (".pt",),
}
