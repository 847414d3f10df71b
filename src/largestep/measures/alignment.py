"""Alignment of the neurons of a student with those of its teacher (paper, Fig. 10 and 14).

Among many neurons in few dimensions one always points near the teacher's by chance, so that cosines alone say
little: a neuron counts by the norm of its weights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from largestep.registered import Measure, Panel

MEASURES = {
    "student_alignment": Measure(Panel("student's neurons", "cosine to teacher"), row=None),
    "teacher_alignment": Measure(Panel("teacher's neurons", "cosine to student", over="teacher_neuron"), row=None),
}
CAPTION = """
{% if data == "teacher_student" and hidden_layers == 1 %}
- Alignment with the teacher. Student's neurons: the largest cosine of each to a neuron of the teacher, as a mean
  weighted by norm. Teacher's neurons: the largest cosine of each to a neuron of the student, times the norm of that
  one over the largest norm, as a mean.
{% endif %}
"""
Array = NDArray[np.float64]


def alignment(students: Array, teachers: Array) -> tuple[Array, Array]:
    """How well the students' neurons point along those of a teacher, and how well each of those is covered.

    students: (..., neurons, d), teachers: (..., teacher neurons, d); their leading dimensions broadcast. Returns
    the mean over the student's neurons, weighted by their norms, of the largest cosine to a teacher neuron, shape
    (...); and for each teacher neuron the largest cosine to a student neuron, times that neuron's norm over the
    largest norm in the network, shape (..., teacher neurons). 0 for a student of zeros, NaN where the run diverged.
    """
    norms = np.linalg.norm(students, axis=-1)
    lengths = np.linalg.norm(teachers, axis=-1)
    products = np.einsum("...ij,...kj->...ik", students, teachers)
    scale = norms[..., :, None] * lengths[..., None, :]
    cosines = np.divide(products, scale, out=np.zeros_like(products), where=scale != 0)
    total, largest = norms.sum(axis=-1), norms.max(axis=-1)
    weighted = (norms * cosines.max(axis=-1)).sum(axis=-1)
    covered = (norms[..., :, None] * cosines).max(axis=-2)
    return (
        np.asarray(np.divide(weighted, total, out=np.zeros_like(weighted), where=total != 0)),
        np.asarray(np.divide(covered, largest[..., None], out=np.zeros_like(covered), where=largest[..., None] != 0)),
    )
