"""Names that would mean something else in the Caddyfile are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.edge import Edge

PLACE = {"port": 8888, "run_directory": Path("/run/h"), "data_directory": Path("/var/h")}


@pytest.mark.parametrize("header", ["", "x box", "x-box}", "x\nbox", "1box"])
def test_a_box_header_is_the_name_of_a_header(header):
    with pytest.raises(ValueError, match="AIDBOX_CLUSTER_BOX_HEADER"):
        Edge(**PLACE, box_header=header)


@pytest.mark.parametrize("domain", ["", "Box.Local", "a b", "box.local:88", "{env.X}", ".local"])
def test_a_domain_is_a_plain_host_name(domain):
    with pytest.raises(ValueError, match="host name"):
        Edge(**PLACE, domain=domain)


def test_the_edge_speaks_only_http_1_on_loopback_unless_told_otherwise():
    text = Edge(**PLACE).caddyfile()
    assert "protocols h1\n" in text
    assert "bind 127.0.0.1\n" in text
    assert "http://:8888 {" in text
    assert "protocols h1 h2c\n" in Edge(**PLACE, h2c=True).caddyfile()
