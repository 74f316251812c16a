"""Names that would mean something else in nginx.conf are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.edge import Edge, Share, TlsFiles

SHARE = Share(workers=1, open_files=1024, account=None)
PLACE = {"port": 8888, "run_directory": Path("/run/h")}


@pytest.mark.parametrize("header", ["", "x box", "x-box}", "x\nbox", "1box"])
def test_a_box_header_is_the_name_of_a_header(header):
    with pytest.raises(ValueError, match="AIDBOX_CLUSTER_BOX_HEADER"):
        Edge(**PLACE, box_header=header)


@pytest.mark.parametrize("domain", ["", "Box.Local", "a b", "box.local:88", "$host", ".local"])
def test_a_domain_is_a_plain_host_name(domain):
    with pytest.raises(ValueError, match="host name"):
        Edge(**PLACE, domain=domain)


@pytest.mark.parametrize("path", ["/run/$host", '/run/"; daemon on', "/run/a:b", "run", "/a\nb"])
def test_a_path_means_nothing_to_nginx(path):
    with pytest.raises(ValueError, match="path"):
        Edge(port=8888, run_directory=Path(path))
    with pytest.raises(ValueError, match="path"):
        Edge(**PLACE, tls=TlsFiles(certificate=Path("/c"), key=Path(path)))


def test_the_edge_speaks_only_http_1_on_loopback_unless_told_otherwise():
    text = Edge(**PLACE).nginx_conf(SHARE)
    assert "listen 127.0.0.1:8888;" in text
    assert text.count("listen ") == 1
    assert "http2" not in text
    assert "http2 on;" in Edge(**PLACE, h2c=True).nginx_conf(SHARE)


def test_addresses_of_ip_version_6_stand_in_brackets():
    text = Edge(**PLACE, addresses=("127.0.0.1", "::1")).nginx_conf(SHARE)
    assert "listen 127.0.0.1:8888;" in text
    assert "listen [::1]:8888;" in text


def test_any_header_may_name_the_box():
    text = Edge(**PLACE, box_header="X-My-Box").nginx_conf(SHARE)
    assert "map $http_x_my_box $named" in text


def test_workers_change_to_an_account_only_where_there_is_one():
    assert "\nuser " not in Edge(**PLACE).nginx_conf(SHARE)
    as_root = Share(workers=1, open_files=1024, account="root")
    assert "\nuser root;" in Edge(**PLACE).nginx_conf(as_root)
