"""What each stage is told: its settings as objects, and the canonical JSON of them, which is hashed.

A spec holds only what the stage reads, so that editing anything else reruns nothing. It nests the spec of the stage
before, so that a store can be checked against the whole of its past. `grid` writes specs and the command lines read
them; what computes is handed the objects, and reads nothing but their values.
"""
