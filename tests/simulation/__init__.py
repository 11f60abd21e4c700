"""The simulation: the real control plane against a machine, a network, a store and engines made of chance, in virtual time.

A run is made from one seed. Groups are created, things go wrong, operators have wishes; then everything is healed and the
groups must come back. Invariants are checked at every promotion, write, full sync, launch, commit and act. The same seed gives
the same run, whatever the hash seed of the process is.

What is real: planning, control (controller, queue, observer, executor, pulse, leadership), the drivers down to their wire
format, the pool of addresses. What is simulated, and where:

    loop.py         virtual time; control planes that stand still
    network.py      paths, connections, partitions, slow paths; transport.py: what the drivers connect with
    process.py      processes that are frozen, busy or ended; machine.py: all of them; host.py: what a control plane sees
    engine.py       Valkey with cluster mode disabled; replication.py: its log, partial and full syncs; directives.py: CONFIG
    slots.py        sets of slots; open_slots.py: moves key by key; slot_jobs.py: atomic migration
    cluster.py      cluster mode enabled; gossip.py: the bus; election.py: who becomes primary
    encryption.py   TLS as far as it decides who can connect to whom: ports, certificates and who believes them
    memcached.py    Memcached and its configuration endpoint
    store.py        latency, failures and lost answers over tests/fakes/store.py or a real database
    writers.py      clients that write unique values and remember what was acknowledged
    faults.py       what goes wrong; plots.py: sequences that chance would seldom make; operators.py: wishes
    changes.py      what operators change of a group; change_mutants.py, parameter_mutants.py: what breaks it
    custody.py      which shard answers for which writes, and the books; rolls.py: one disruptive thing at a time
    transfers.py    the archive, and the workers of a control plane that move snapshots
    snapshots.py    what must hold of snapshots and restored groups; snapshot_mutants.py: what breaks it
    checkers.py     the other invariants; convergence.py: what "healed" means
    scenario.py     one run; world.py: its parts; plane.py: a control plane; mutants.py: broken ones

Not modelled: values and keys (a write is a number), memory and eviction, buffers that overflow, replicas of replicas,
users, disks, half-open bus links, kernels that lie about processes. Virtual time hides how long our own code
takes: that is what the tests with real engines and the bench are for.
"""
