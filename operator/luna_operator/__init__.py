"""The operator: pools to pods, streams to pods, and the reasons why a stream waits.

    handlers (kopf) ──▶ world ──▶ gather ──▶ decide (placement, scaling: pure) ──▶ apply ──▶ one write per change

`world` is the memory: three caches and what is read off them. `reconcile` runs one pass per namespace whenever
something changed there; a pass looks at the whole state, so an event that was missed costs nothing but time.
"""
