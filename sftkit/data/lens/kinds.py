"""What a profile counts, each kind with its level, its name and what to do about it, in both languages.

`level`: "stop" (training will not go on), "warn" (look at them), "inform" (may be as it should be).
"""

from __future__ import annotations

from sftkit.wording import Said, say

# In this order they stand in a profile; the place of a kind is its bit in the flags of a row: only add at the end.
KINDS = {
    "unreadable": "stop",
    "empty_prompt": "warn",
    "empty_answer": "warn",
    "filtered": "warn",
    "cut": "warn",
    "shortened": "inform",
    "exact_duplicate": "warn",
    "near_duplicate": "warn",
    "conflict": "inform",
    "mojibake": "warn",
    "html": "inform",
    "boilerplate": "warn",
    "echo": "warn",
    "short": "inform",
    "long": "inform",
}
BITS = {key: 1 << place for place, key in enumerate(KINDS)}


def name_of(key: str) -> Said:
    """What the rows of a kind are, in a few words."""
    return {
        "unreadable": say("cannot be read or taught"),
        "empty_prompt": say("empty prompt"),
        "empty_answer": say("empty answer"),
        "filtered": say("left out of training"),
        "cut": say("answer cut at max_len"),
        "shortened": say("last turns left out"),
        "exact_duplicate": say("exact duplicate"),
        "near_duplicate": say("near duplicate"),
        "conflict": say("same prompt, other answer"),
        "mojibake": say("garbled characters"),
        "html": say("HTML"),
        "boilerplate": say("speaks of itself as an AI"),
        "echo": say("answer begins with the prompt"),
        "short": say("very short answer"),
        "long": say("very long answer"),
    }[key]


def advice(key: str, *, max_len: int, near: float, low: float, high: float) -> Said:
    """What a kind means, and what to do. `low`, `high`: the bounds of an ordinary answer in tokens."""
    return {
        "unreadable": say("Training stops at the first of them: mend them or leave them out."),
        "empty_prompt": say("The model learns to say the answer to nothing."),
        "empty_answer": say("An empty answer teaches nothing: fill it in or leave the row out."),
        "filtered": say("No token of theirs is trained: no answer, or none that begins within max_len."),
        "cut": say("The first answer does not fit max_len={max_len:,} and loses its end: raise max_len, or leave such rows out.", max_len=max_len),
        "shortened": say("Later exchanges of the conversation do not fit max_len={max_len:,}: raise it, or split them.", max_len=max_len),
        "exact_duplicate": say("The same conversation as an earlier row: it weighs twice, and leaks where one is in the eval set."),
        "near_duplicate": say("At least {share:.0%} of the pairs of words are those of an earlier row.", share=near),
        "conflict": say("The prompt of an earlier row with another answer: variety, or a contradiction."),
        "mojibake": say("Text that was read in a wrong encoding, or has lost characters: mend it at its source."),
        "html": say("Tags or entities outside of code: left from a web page, or wanted."),
        "boilerplate": say("“As an AI language model …”: the manner of another model, which yours will learn."),
        "echo": say("The model learns to repeat the question before it answers."),
        "short": say("Fewer than {bound:,.0f} tokens, where most answers have far more.", bound=max(low, 1)),
        "long": say("More than {bound:,.0f} tokens, where most answers have far fewer.", bound=high),
    }[key]  # fmt: skip
