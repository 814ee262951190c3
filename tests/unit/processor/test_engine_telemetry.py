"""The runtime of the models keeps to itself what it does."""

import os
import subprocess
import sys
from pathlib import Path


def test_loading_a_model_leaves_no_trace_in_the_home_folder(tmp_path: Path) -> None:
    program = (
        "from luna_processor.engines.onnx import OnnxEngine\n"
        "from luna_processor.engines.models import ModelLibrary, default_folder\n"
        "library = ModelLibrary(default_folder())\n"
        "model = library.choose('faces', None)\n"
        "OnnxEngine(model, library.read(model))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []
