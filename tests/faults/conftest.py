"""The FAKE worker and its launch, shared with tests/runs."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("runs_conftest", Path(__file__).parents[1] / "runs" / "conftest.py")
_shared = module_from_spec(_spec)
_spec.loader.exec_module(_shared)
settings, fake_worker, fake_launch = _shared.settings, _shared.fake_worker, _shared.fake_launch
