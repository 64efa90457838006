"""A chat template comes with a model from anywhere: it reaches nothing, and cannot hang or fill the kernel."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import jinja2.sandbox
import pytest

from sftkit.data import rendering, template_limits
from sftkit.data.templates import KNOWN, chosen_template, plain_template
from sftkit.data.vocabulary import Vocabulary
from sftkit.errors import DataError

NOW = datetime.datetime(2026, 1, 2)
TALK = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, you."}]

REACHES_OUT = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__init__.__globals__ }}",
    "{{ ''|attr('__class__') }}",
    "{{ ['__class__']|map('attr', '__init__')|list }}{{ ''['__class__'] }}",
    "{{ cycler.__init__.__globals__.os.mkdir('MARK') }}",
    "{{ joiner.__init__.__globals__['__builtins__']['open']('MARK', 'w') }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment.from_string('a') }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__self__.__class__.__subclasses__() }}",
    "{{ strftime_now.__func__ }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format_map({'0': messages}) }}",
    "{{ '%s'|format(messages.__class__) }}",
    "{{ messages.append(messages[0]) }}",
    "{{ messages[0].update({'content': 'x'}) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os.getcwd() }}",
    "{% extends '/etc/passwd' %}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ (1).__class__.__base__.__subclasses__() }}",
    "{{ dict.mro() }}{{ dict.__subclasses__() }}",
    "{{ messages|map(attribute='__class__.__init__.__globals__')|list|string|length // 0 }}",
]

FILLS = {
    "times": "{{ 'a' * 10000000000 }}",
    "times a list": "{{ ([1] * 1000000000)|length }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "power of two steps": "{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "doubling": "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling ~": "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "doubling lists": "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "doubling blocks": "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
    "lists in lists": "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "lists in lists, json": "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
    "lists in lists, string": "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ (ns.x|string)|length }}",
    "ljust": "{{ 'a'.ljust(9999999999) }}",
    "zfill": "{{ 'a'.zfill(9999999999) }}",
    "expandtabs": "{{ ('\\t' * 1000).expandtabs(99999999) }}",
    "replace": "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
    "replace nothing": "{{ ('a' * 1000000)|replace('', 'b' * 1000000) }}",
    "join": "{{ ('b' * 1000000).join(['a'] * 100000) }}",
    "join filter": "{{ range(100000)|join('b' * 1000000) }}",
    "percent": "{{ '%9999999999d' % 1 }}",
    "percent star": "{{ '%*d' % (2147483647, 1) }}",
    "percent many": "{{ ('%(a)s' * 10000) % {'a': 'b' * 1000000} }}",
    "format": "{{ '{:9999999999}'.format(1) }}",
    "format nested": "{{ '{:{}}'.format(1, 2147483647) }}",
    "format filter": "{{ '%9999999999d'|format(1) }}",
    "center": "{{ 'a'|center(9999999999) }}",
    "indent": "{{ ('a\\n' * 1000)|indent(99999999) }}",
    "indent text": "{{ ('a\\n' * 1000)|indent('b' * 1000000) }}",
    "json indent": "{{ messages|tojson(indent=999999999) }}",
    "json between": "{{ range(1000)|list|tojson(separators=('b' * 1000000, ':')) }}",
    "batch": "{{ [1]|batch(9999999999, 'a')|list }}",
    "slice": "{{ [1]|slice(9999999999)|list }}",
    "round": "{{ 1.5|round(999999999, 'ceil') }}",
    "map center": "{{ ['a']|map('center', 9999999999)|list }}",
    "writes": "{% set x = 'a' * 1000000 %}{% for i in range(100000) %}{{ x }}{% endfor %}",
    "writes its own words": "{% for i in range(100000) %}" + "a" * 5000 + "{% endfor %}",
    "translate": "{{ ('a' * 1000000).translate({97: 'b' * 1000000}) }}",
}  # fmt: skip

HANGS = {
    "loops": "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
    "loops that filter": "{% for i in range(100000) %}{% for j in range(100000) if j < 0 %}{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "recursive loops": "{% for i in [[1, 1]] * 60 recursive %}{{ loop([i, i] if loop.depth < 60 else []) }}{% endfor %}",
    "calls": "{% for i in range(100000) %}{% set x = range(100000)|list %}{% endfor %}",
    "searches": "{% set x = 'a' * 10000000 %}{% for i in range(100000) %}{% set y = x.count('b') %}{% endfor %}",
}  # fmt: skip

# In a process of its own with little memory: a template that gets by would take the whole test run with it.
CHILD = """
import datetime, json, resource, sys, time
from sftkit.data import rendering, template_limits
from sftkit.errors import DataError
template_limits.SECONDS = 0.3
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
told = {}
for name, source in json.load(sys.stdin).items():
    start = time.process_time()
    try:
        said = "wrote " + rendering.render(source, datetime.datetime.now(), messages=[{"role": "user", "content": "a"}])[:50]
    except DataError as error:
        said = str(error)
    told[name] = [said, time.process_time() - start]
print(json.dumps(told))
"""


@pytest.mark.parametrize("source", REACHES_OUT)
def test_nothing_outside_is_reached(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    talk = json.loads(json.dumps(TALK))
    try:
        text = rendering.render(source, NOW, messages=talk)
    except DataError:
        text = ""
    assert not any(word in text for word in ("class", "builtin", "function", "root:", "object")), text
    assert not list(tmp_path.iterdir())
    assert talk == TALK


def test_the_payloads_would_reach_out_of_plain_jinja():
    assert "class" in jinja2.Environment().from_string(REACHES_OUT[0]).render()
    assert "class" in jinja2.Environment().from_string(REACHES_OUT[11]).render()


def test_no_template_fills_the_memory_or_runs_for_ever():
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=json.dumps(FILLS | HANGS), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    passed = {name: said for name, (said, _) in told.items() if "the chat template says: it " not in said}
    assert not passed
    assert max(seconds for _, seconds in told.values()) < 10
    assert all("seconds" in told[name][0] for name in HANGS), {name: told[name] for name in HANGS}


@pytest.mark.parametrize("name", KNOWN)
def test_the_limits_change_no_text(name, tiny_model):
    """As jinja alone writes it, for talks of every shape."""
    vocabulary = Vocabulary.load(str(tiny_model))
    source = chosen_template(name, vocabulary)
    alone = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[rendering._Generation, jinja2.ext.loopcontrols]
    )
    alone.globals["raise_exception"], alone.filters["tojson"] = rendering._raise, rendering._tojson
    plain = alone.from_string(source)
    for turns in (1, 2, 5):
        for system in ([], [{"role": "system", "content": "Be %d {} brief.\n"}]):
            talk = system + TALK * turns
            for asks in (True, False):
                given = {"messages": talk, "add_generation_prompt": asks, "bos_token": "<s>", "eos_token": "</s>"}  # fmt: skip
                try:
                    wanted = plain.render(**given)
                except jinja2.TemplateError:
                    continue
                assert rendering.render(source, NOW, **given) == wanted


def test_filters_and_methods_work_as_ever():
    source = (
        "{{ 'a' * 3 }}{{ [1, 2] + [3] }}{{ 2 ** 10 }}{{ 'x%s' % 'y' }}{{ 'a' ~ 1 ~ none }}{{ 'b'|center(5) }}"
        "{{ ['p', 'q']|join(', ') }}{{ 'a b'|replace(' ', '-') }}{{ messages|tojson(indent=1)|length }}"
        "{{ '{:>4}{x}'.format(7, x='y') }}{{ '%03d'|format(5) }}{{ [1, 2, 3]|batch(2)|list }}{{ 'a\nb'|indent(2) }}"
        "{{ [1, 2]|sum }}{{ 1.25|round(1) }}{{ ['b', 'c']|map('upper')|join }}{{ 'aXb'.replace('X', 'y') }}"
        "{{ '-'.join(['k', 'l']) }}{{ 'a'.ljust(3) }}|{{ messages|map(attribute='role')|join('/') }}{{ undefined_name }}"
        "{{ {'a': [1]}|string }}{{ strftime_now('%Y') }}{% for c in 'abc' %}{{ loop.index }}{{ loop.last }}{% endfor %}"
    )
    alone = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    alone.filters["tojson"] = rendering._tojson
    wanted = alone.from_string(source).render(messages=TALK, strftime_now=NOW.strftime)
    assert rendering.render(source, NOW, messages=TALK) == wanted


def test_a_long_conversation_has_room(tiny_model):
    template = plain_template(Vocabulary.load(str(tiny_model)))
    talk = [{"role": role, "content": "word " * 100} for _ in range(2000) for role in ("user", "assistant")]
    assert len(template.render(talk)) > 2_000_000
    assert template_limits.WRITTEN > 10 * 2_000_000
