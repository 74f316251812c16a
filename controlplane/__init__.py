"""The control plane: console pages, RPC and admin APIs, and the jobs that provision boxes."""
