"""The RPC API: `POST /rpc`. Source: platform specification, "RPC API"."""
