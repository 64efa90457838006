"""The lens: what is in the data before anything is trained on it. Pure functions over rows; no torch.

sk.profile("data/train.jsonl", "data/tiny-base")       # counts, lengths, duplicates, faults; each leads to its rows
"""
