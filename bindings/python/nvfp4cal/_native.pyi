# The module that SWIG makes (bindings/swig). Private: its functions take and return what the modules beside it expect.
from typing import Any

def __getattr__(name: str) -> Any: ...
