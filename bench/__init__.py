"""forkful measured beside its peers: one file per question, see docs/benchmarks.md."""
