"""Only a list: each plugin holds the fixtures of one concern."""

pytest_plugins = [
    "tests.fixtures_services",
    "tests.fixtures_box",
    "tests.fixtures_edge",
    "tests.fixtures_django",
    "tests.fixtures_platform",
    "tests.fixtures_installation",
]
