"""The engines of access policies: each compiles one kind of policy into a test of a request."""
