"""Everything of Halebox on one machine: `make up`, `make down`, `make box`."""
