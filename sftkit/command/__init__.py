"""Launch commands of other programs to settings and back.

    translate(text)               a command, a script or a YAML file, explained flag by flag -> Translation
    masked(text)                  the text without the keys and tokens in it
    write(config, target)         the settings as a command of "openrlhf==0.8.9", "trl" or "sftkit" -> Written

`names` holds what OpenRLHF's versions, TRL and LLaMA-Factory call each setting, `words` the sentences.
"""

from __future__ import annotations

from sftkit.command.others import masked
from sftkit.command.reading import translate
from sftkit.command.translation import Flag, Translation
from sftkit.command.writing import Written, write

__all__ = ["Flag", "Translation", "Written", "masked", "translate", "write"]
