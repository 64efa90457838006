"""The form's last row: Launch, Dry run, whether to wait in the queue, and where the check stands."""

from __future__ import annotations

from ipywidgets import HTML, Button, Checkbox, HBox

from sftkit.runs import classroom
from sftkit.widgets.labels import label
from sftkit.widgets.shared import Shared


class LaunchRow(HBox):
    """`.launch` and `.dry` are the buttons, `.queue` the checkbox, `.status` the words beside them."""

    def __init__(self, shared: Shared, lang: str | None):
        make = shared.make
        always = bool(classroom.sound_caps())  # then each run waits for its turn, whatever is ticked
        self.launch = make(Button, description=label("form.launch", lang), button_style="primary", icon="play")  # fmt: skip
        self.dry = make(Button, description=label("form.dry_run", lang), icon="flask", tooltip=label("form.dry_run_help", lang))  # fmt: skip
        about = label("form.queue_always" if always else "form.queue_help", lang)
        self.queue = make(Checkbox, value=always, disabled=always, indent=False, description=label("form.queue", lang), tooltip=about)  # fmt: skip
        self.status = make(HTML, css="sft-status")
        super().__init__(
            [self.launch, self.dry, self.queue, self.status],
            layout=shared.layout,
            _dom_classes=("sft-launch",),
        )
