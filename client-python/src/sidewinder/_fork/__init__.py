"""A fork server: a process that has imported everything once, and of which workers are forks.

    keeper ──nest──▶ server ─▶ birth: midwife ─▶ nurse (becomes the warden) ─▶ newcomer (becomes the worker)
    daemon ◀control─ server: hello, then preloaded, unfit, or unforkable

`server` is its life in order. `fitness` looks whether it may be forked at all. `birth` makes a worker in
the place where a worker has to be: below a warden of its own, which is below the keeper. `rehearsal` does
before all forks what each would do first. `kernel` has the calls that the standard library lacks. `refusal`
says why nobody is forked.

Nothing here decides when there is a worker, and no descriptor of a worker is ever held by the server.
"""
