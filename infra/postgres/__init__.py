"""One database and one role per box on a PostgreSQL server, whoever runs that server."""

from infra.postgres.cluster import DatabaseStatus, PostgresCluster, ProvisioningError

__all__ = ["DatabaseStatus", "PostgresCluster", "ProvisioningError"]
