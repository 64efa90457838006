"""The arguments that TRL's SFTConfig takes, and the flags of `trl sft`, as TRL itself states them.

    python tests/trl_fields.py      # where TRL is installed; writes trl_fields.json beside this file

The tests hold what sftkit writes for TRL against that table, so they need neither TRL nor the network.
"""

from __future__ import annotations

import json
from pathlib import Path

TABLE = Path(__file__).with_suffix(".json")


def main() -> None:
    import dataclasses

    import transformers
    import trl

    kinds = {
        "SFTConfig": trl.SFTConfig,
        "ScriptArguments": trl.ScriptArguments,
        "ModelConfig": trl.ModelConfig,
    }
    fields = {name: [field.name for field in dataclasses.fields(kind)] for name, kind in kinds.items()}
    origin = f"trl {trl.__version__} with transformers {transformers.__version__}"
    TABLE.write_text(json.dumps({"from": origin, **fields}, indent=1) + "\n", encoding="utf-8")
    print(f"{origin}: {sum(map(len, fields.values()))} fields in {TABLE}")


if __name__ == "__main__":
    main()
