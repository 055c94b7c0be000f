"""Where a model is asked, and what it costs."""

from __future__ import annotations

import pytest
from asking import KEY
from bedev.agent.models.claude import Claude
from bedev.agent.models.model import Usage
from bedev.agent.models.prices import AS_OF, PRICES, price_of
from bedev.agent.models.profiles import ALIASES, ANTHROPIC, COMPAT, FACTS, Endpoint, facts_of, resolve
from bedev.sandboxes.errors import UsageError


def endpoint(**environ: str) -> Endpoint:
    return Endpoint.from_environment(environ)


# Address and profile


@pytest.mark.parametrize(
    ("url", "address", "profile"),
    [
        ("", "https://api.anthropic.com", "anthropic"),
        ("https://api.anthropic.com/v1", "https://api.anthropic.com", "anthropic"),
        ("https://eu.api.anthropic.com/", "https://eu.api.anthropic.com", "anthropic"),
        ("http://localhost:11434", "http://localhost:11434", "compat"),
        ("http://localhost:8000/v1/", "http://localhost:8000", "compat"),
        ("https://openrouter.ai/api", "https://openrouter.ai/api", "compat"),
        ("https://api.anthropic.com.evil.example", "https://api.anthropic.com.evil.example", "compat"),
        ("https://notanthropic.com", "https://notanthropic.com", "compat"),
        ("https://api.anthropic.com@evil.example", "https://api.anthropic.com@evil.example", "compat"),
    ],
)
def test_only_anthropics_own_address_gets_everything(url: str, address: str, profile: str) -> None:
    found = endpoint(ANTHROPIC_BASE_URL=url)
    assert (found.url, found.profile.name) == (address, profile)
    assert found.official == (profile == "anthropic")


def test_the_profile_can_be_said_and_the_price_stays_anthropics() -> None:
    found = endpoint(ANTHROPIC_BASE_URL="http://localhost:1", BEDEV_MODEL_PROFILE="anthropic")
    assert found.profile is ANTHROPIC
    assert not found.official
    assert endpoint(BEDEV_MODEL_PROFILE="compat").profile is COMPAT


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"ANTHROPIC_BASE_URL": "ollama:11434"}, "ANTHROPIC_BASE_URL"),
        ({"ANTHROPIC_BASE_URL": "file:///etc/passwd"}, "ANTHROPIC_BASE_URL"),
        ({"ANTHROPIC_BASE_URL": "http:///v1"}, "ANTHROPIC_BASE_URL"),
        ({"ANTHROPIC_BASE_URL": "http://[::1"}, "ANTHROPIC_BASE_URL"),
        ({"BEDEV_MODEL_PROFILE": "openai"}, "BEDEV_MODEL_PROFILE"),
        ({"ANTHROPIC_API_KEY": "sk-ant\nx: y"}, "ANTHROPIC_API_KEY"),
        ({"ANTHROPIC_AUTH_TOKEN": "“quoted”"}, "ANTHROPIC_AUTH_TOKEN"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_its_value_kept(
    environ: dict[str, str], where: str
) -> None:
    with pytest.raises(UsageError) as caught:
        endpoint(**environ)
    assert caught.value.where == where
    assert caught.value.next_step
    if where != "BEDEV_MODEL_PROFILE":
        assert environ[where] not in f"{caught.value.what} {caught.value.next_step}"


def test_a_key_comes_before_a_token() -> None:
    found = endpoint(ANTHROPIC_API_KEY=KEY, ANTHROPIC_AUTH_TOKEN="a-token")
    assert (found.key, found.token, found.key_from) == (KEY, "", "ANTHROPIC_API_KEY")


@pytest.mark.parametrize(
    ("key", "shown"),
    [("", "not set"), (KEY, "set (sk-...4711)"), ("sk-short", "set"), ("x" * 20, "set (...xxxx)")],
)
def test_of_a_key_four_characters_are_shown_at_most(key: str, shown: str) -> None:
    assert endpoint(ANTHROPIC_API_KEY=key).shown_key == shown
    assert not key or key not in repr(endpoint(ANTHROPIC_API_KEY=key))


@pytest.mark.parametrize(
    ("url", "open_to_all"),
    [("http://10.0.0.9:8000", True), ("http://localhost:8000", False), ("https://10.0.0.9", False)],
)
def test_a_key_that_travels_in_the_clear_is_noticed(url: str, open_to_all: bool) -> None:
    assert endpoint(ANTHROPIC_BASE_URL=url).unencrypted == open_to_all


# Names and limits


def test_aliases_lead_to_todays_models_and_the_environment_wins() -> None:
    assert {alias: resolve(alias, {})[0] for alias in ALIASES} == {
        "opus": "claude-opus-5-5",
        "sonnet": "claude-sonnet-5-5",
        "haiku": "claude-haiku-5-5",
        "fable": "claude-fable-5-2",
    }
    own = {"ANTHROPIC_DEFAULT_SONNET_MODEL": "claude-sonnet-5"}
    assert resolve("Sonnet", own) == ("claude-sonnet-5", "ANTHROPIC_DEFAULT_SONNET_MODEL")


def test_any_other_name_is_passed_on() -> None:
    assert resolve("Qwen3:32b", {}) == ("Qwen3:32b", "as given")


def test_limits_that_are_not_known_are_taken_to_be_low() -> None:
    assert facts_of("claude-opus-5-5", ANTHROPIC).max_output == 128_000
    assert facts_of("claude-haiku-4-5-20251001", ANTHROPIC) == FACTS["claude-haiku-4-5"]
    for profile in (ANTHROPIC, COMPAT):
        unknown = facts_of("claude-opus-9", profile)
        assert unknown.max_output <= 32_000
        assert not unknown.adaptive


# Prices


def test_prices_have_a_date_and_every_alias_has_one() -> None:
    assert AS_OF == "2026-11"
    assert set(ALIASES.values()) <= set(PRICES)


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("claude-opus-5-5", Usage(1_000_000, 1_000_000), 24.0),
        ("claude-opus-5-5", Usage(0, 0, cache_read_tokens=1_000_000), 0.20),
        ("claude-opus-5-5", Usage(cache_write_tokens=3_000_000, cache_write_1h_tokens=1_000_000), 18.0),
        ("claude-sonnet-5", Usage(0, 0, cache_read_tokens=1_000_000), 0.20),
        ("claude-haiku-5-5", Usage(100_000, 1_000_000), 0.51),
        ("claude-haiku-5-5", Usage(100_001, 1_000_000), 2.5500005),
        ("claude-haiku-5-5", Usage(1, 0, cache_read_tokens=100_000), (0.5 + 100_000 * 0.05) / 1e6),
        ("claude-haiku-4-5-20251001", Usage(1_000_000, 0), 1.0),
    ],
)
def test_a_price_is_the_lists(model: str, usage: Usage, dollars: float) -> None:
    price = price_of(model)
    assert price is not None
    assert price.of(usage) == pytest.approx(dollars)


def test_what_is_not_known_has_no_price_and_not_the_price_nothing() -> None:
    assert price_of("claude-opus-9") is None
    fable = price_of("claude-fable-5-1")
    assert fable is not None
    assert fable.of(Usage(1_000_000)) == 10
    assert fable.of(Usage(1_000_000, cache_write_tokens=1)) is None


def test_only_anthropics_server_has_anthropics_prices() -> None:
    usage = Usage(1_000_000)
    assert Claude("opus", {"ANTHROPIC_API_KEY": KEY}).price(usage) == 4
    for more in ({}, {"BEDEV_MODEL_PROFILE": "anthropic"}):
        environ = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://localhost:1", **more}
        assert Claude("opus", environ).price(usage) is None
