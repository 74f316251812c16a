r"""The box host: many boxes on one machine, each a process that exists while it is used.

Start::

    HALEBOX_CLUSTER_KEY=<hex, 16 bytes or more> \
        python -m boxruntime.host --run-dir var/run [--application module:factory]

It runs in the foreground and logs JSON lines to stderr. Exit code 0 after SIGTERM or SIGINT, 2
with one sentence on stderr when it cannot start. Once the control socket answers `ping` with
`"ready": true`, boxes wake in milliseconds (before, their connections wait).

    <run-dir>/boxhost.sock        control socket, mode 0600
    <run-dir>/boxes/<box>.sock    HTTP of a box, mode 0766, there from `ensure` to `remove`
    <run-dir>/../boxhost/         encrypted specs, mode 0700

`<run-dir>` must be short: a socket path has at most 107 bytes.

Control protocol: connect to the control socket, write one JSON `contract.Request` per line, read
one `contract.Reply` per line; any number of requests per connection, answered in order. A failed
request is `{"ok": false, "error": "<sentence>"}`; the connection stays usable, except after a
line of more than 256 kB. All commands may be repeated.

    {"command": "ping"}
        -> {"ready": bool, "boxes": n, "limits": "<what bounds boxes>",
            "isolation": "<what keeps boxes apart>"}
    {"command": "ensure", "spec": {BoxSpec}}
        -> BoxStatus. Listens when it returns. A lower generation than the known one changes
        nothing (compare the generation in the answer). A changed spec takes effect before the
        answer: who asks the box afterwards is served by a process that has the new spec.
    {"command": "status", "box": "<name>"}   -> BoxStatus or null
    {"command": "list"}                      -> [BoxStatus]
    {"command": "sleep", "box": "<name>"}
        -> BoxStatus. Its process has ended when it returns; the next connection makes another.
    {"command": "remove", "box": "<name>"}
        -> null. Process, socket, spec and control group are gone when it returns (at most 11 s;
        requests in work are answered, waiting connections get 503). Unknown boxes are no error.
    {"command": "upgrade"}
        -> null. Loads the code on disk into a new mould, then replaces running boxes one by one.
        If the new code does not start the old one serves on and the answer is an error.

Signals to the manager (the process started above): SIGTERM ends after all requests in work are
answered (twice: at once); SIGHUP replaces the manager itself by the code on disk, keeping all
sockets, processes and connections. A new release is: SIGHUP, then `upgrade`.

Box names: a lower-case letter and up to 39 letters or digits.

Processes: the *manager* (`manager`, owns sockets and specs, imports no FHIR code), the *mould*
(`mould`, everything imported, knows no secret, forks), and one *box process* per awake box
(`box_process`). What keeps boxes apart is in `confinement`, what bounds them in `cgroups`.
A box that dies three times in a row is FAILING: its connections are answered 503 by the manager
and it is tried again after 1, 2, 4 … 60 s.

Source: platform specification, "Routing to a box" (cold boxes) and "Multi-box variables"
(limits per box; a crash of one box does not affect others).
"""
