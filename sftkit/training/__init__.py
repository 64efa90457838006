"""The training process: `python -m sftkit.training.worker RUN_DIR`. Nothing imports it; it speaks through files."""
