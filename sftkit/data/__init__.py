"""Files to token ids: reading and mixing sources, the shape of a row, chat templates, the loss mask. No torch.

Kernel and worker share it, so what a notebook shows of a row is what the trainer trains on:

    row = read_rows(config)[0]
    seen = tokenized(config, row)      # .input_ids .tokens .loss_mask .text
"""

from sftkit.data.encoding import Encoded, Encoder, encoder, tokenized
from sftkit.data.fingerprint import file_facts
from sftkit.data.reading import is_hub_id, is_hub_source, read_rows
from sftkit.data.shaping import Columns, Example, find_columns, read_examples
from sftkit.data.templates import ChatTemplate, chat_template, plain_template
from sftkit.data.vocabulary import Vocabulary

__all__ = [
    "ChatTemplate",
    "Columns",
    "Encoded",
    "Encoder",
    "Example",
    "Vocabulary",
    "chat_template",
    "encoder",
    "file_facts",
    "find_columns",
    "is_hub_id",
    "is_hub_source",
    "plain_template",
    "read_examples",
    "read_rows",
    "tokenized",
]
