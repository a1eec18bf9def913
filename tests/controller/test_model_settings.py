"""`llm:` of the server configuration: exact money, keys that stay secret, mistakes at their place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from controller.errors import InvalidInput
from controller.settings import load_settings

FULL = """\
llm:
  providers:
    - {name: groq, base_url: "https://api.groq.com/openai/v1", model: llama, api_key: "env:GROQ", prompt_price: 0.59}
    - {name: ollama, base_url: "http://127.0.0.1:11434/v1", model: "qwen2.5:7b", timeout: 8s}
  tasks: {narrate: [ollama, groq]}
  budget: {day_money: 2, change_money: 0.05}
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "alma-server.yaml"
    file.write_text(text)
    return file


def test_models_are_read_with_exact_prices(tmp_path: Path) -> None:
    llm = load_settings(written(tmp_path, FULL), {}).settings.llm
    assert llm is not None
    assert [(p.name, p.kind, p.timeout, p.prompt_price) for p in llm.providers] == [
        ("groq", "openai", 6, Decimal("0.59")),
        ("ollama", "openai", 8, Decimal(0)),
    ]
    assert llm.tasks == {"narrate": ("ollama", "groq")}
    assert (llm.budget.day_money, llm.budget.change_money) == (Decimal(2), Decimal("0.05"))


def test_without_the_section_there_is_no_model() -> None:
    assert load_settings(None, {}).settings.llm is None


def test_a_model_s_key_is_a_secret_of_the_server(tmp_path: Path) -> None:
    assert "env:GROQ" in load_settings(written(tmp_path, FULL), {}).settings.secret_refs()


def test_the_environment_gives_the_same_as_json() -> None:
    text = '{"providers": [{"name": "a", "base_url": "https://h/v1", "model": "m", "prompt_price": 0.1}]}'
    llm = load_settings(None, {"ALMA_LLM": text}).settings.llm
    assert llm and llm.providers[0].prompt_price == Decimal("0.1")


ONE = '{name: a, model: m, base_url: "https://h/v1"%s}'


@pytest.mark.parametrize(
    ("llm", "told"),
    [
        ("providers: []", "at least 1"),
        (f"providers: [{ONE % ''}, {ONE % ''}]", "a is there twice"),
        (f"providers: [{ONE % ''}]\n  tasks: {{narrate: [b]}}", "no provider b; known: a"),
        (f"providers: [{ONE % ''}]\n  tasks: {{decide: [a]}}", "llm.tasks"),
        ('providers: [{name: a, model: m, base_url: "ftp://h"}]', "write https://HOST/v1"),
        ('providers: [{name: a, model: m, base_url: "https://k:v@h/v1"}]', "a key goes into api_key"),
        ('providers: [{name: a, model: m, base_url: "http://h/v1", api_key: "env:K"}]', "in the clear"),
        (f"providers: [{ONE % ', api_key: sk-plain'}]", "api_key"),
        (f"providers: [{ONE % ', prompt_price: -1'}]", "prompt_price"),
        (f"providers: [{ONE % ', timeout: 2m'}]", "timeout"),
        ('providers: [{name: a, model: "m m", base_url: "https://h/v1"}]', "model"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, llm: str, told: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        load_settings(written(tmp_path, f"llm:\n  {llm}\n"), {})
    line = 3 if "tasks" in llm else 2
    assert told in str(wrong.value) and f"alma-server.yaml:{line}:" in str(wrong.value), str(wrong.value)
    assert "sk-plain" not in str(wrong.value)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8"])
def test_a_key_may_go_in_the_clear_within_this_machine(tmp_path: Path, host: str) -> None:
    text = f'llm:\n  providers: [{{name: a, model: m, base_url: "http://{host}/v1", api_key: "env:K"}}]\n'
    assert load_settings(written(tmp_path, text), {}).settings.llm
