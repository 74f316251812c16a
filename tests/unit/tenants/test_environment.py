from __future__ import annotations

import pytest

from tenants.environment import check_environment, variable_name
from tenants.errors import InvalidRequestError


def test_settings_of_a_box_come_back_as_they_were_sent():
    sent = {"box-web-thread": "8", "aidbox-stdout-pretty": "info", "my-own": "x", "debug": ""}
    assert check_environment(sent) == sent
    assert variable_name("box-web-thread") == "BOX_WEB_THREAD"


@pytest.mark.parametrize(
    "key",
    ["pghost", "path", "https-proxy", "all-proxy", "ssl-cert-file", "pythonpath", "-x", "1x", "",
     "halebox-cluster-key", "openid-rsa", "database-url", "ld-preload", "PYTHONPATH", "box_web", "box-", "box--x", "BOX-A", "box-web\n",
     "aidbox-superuser", "aidbox-cluster-secret", "aidbox-license", "aidbox-license-key",
     "aidbox-client-secret", "box-access-key", "box-participants", "aidbox-base-url"],
)  # fmt: skip
def test_what_the_platform_decides_is_refused(key: str):
    with pytest.raises(InvalidRequestError):
        check_environment({key: "x"})


@pytest.mark.parametrize("value", [1, None, ["a"], "x" * 5000, "nul\0"])
def test_values_are_texts_of_sensible_length(value: object):
    with pytest.raises(InvalidRequestError):
        check_environment({"box-web-thread": value})


def test_an_error_names_the_key_and_not_the_value():
    with pytest.raises(InvalidRequestError) as caught:
        check_environment({"aidbox-client-secret": "hunter2"})
    assert "hunter2" not in str(caught.value)
