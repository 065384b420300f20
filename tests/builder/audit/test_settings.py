"""What an audit goes by."""

from dataclasses import asdict

from builder.audit.settings import Settings


def test_every_setting_is_a_number_that_a_record_holds() -> None:
    assert all(isinstance(value, int | float) for value in asdict(Settings()).values())
    assert Settings().seed == 0
    assert 0.5 < Settings().told < 1
    assert 0 < Settings().accused < 0.01
