"""
Deterministic simulation: many nights at once, everything that can go wrong, one seed = one run.

=================  ====================================================================================================
:mod:`.hub`        one thread; each invocation a greenlet that can be held, killed or overtaken at any AWS call
:mod:`.nemesis`    what goes wrong: drawn from the seed, call by call, so that a run can be repeated and made smaller
:mod:`.story`      what a run is made of (causes, people, forged events), as data
:mod:`.run`        a story played to its end
:mod:`.promises`   what must hold afterwards, for every remediation
:mod:`.shrink`     from a seed that fails to a story that a person can read
:mod:`.campaign`   many seeds, on all cores, with figures
:mod:`.lives`      short stories without faults: every remediation, through every way it can go
:mod:`.exhaustive` and systematic, too: each life with a crash before and after every one of its calls
:mod:`.clouds`     one story on the thin and on the full cloud, compared call by call
=================  ====================================================================================================
"""
