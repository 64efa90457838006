"""`sk.launch` as a notebook calls it, to the first optimizer step: `python sftkit_launch.py CONFIG_JSON RUNS_DIR`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from marks import mark

import sftkit as sk

config = sk.SFTConfig(**json.loads(Path(sys.argv[1]).read_text()))
run = sk.launch(config, sys.argv[2])
while run.status.step < 1 and not run.status.ended:
    time.sleep(0.01)
step = run.status.step
run.kill()
if step:
    mark(step)
else:
    sys.exit(run.log())
