"""Steps of SGD on a dense ReLU network of any depth, in float64 (paper, Fig. 4, 5, 10)."""

from __future__ import annotations

import numpy as np

from largestep.compiled import kernel
from largestep.models.flat import NO_BIAS, forward
from largestep.toys.update import Course, Rule, ascend, descend

# With all examples a step the loops run along the examples, which is up to three times as fast unless there are
# this many times as many units.
MANY_UNITS = 8


@kernel
def _add_gradient(parameters, layout, activations, deltas, output_delta, gradient):
    """Add output_delta times the gradient of h to gradient, by back-propagation."""
    widths = layout.widths
    layers = len(widths) - 1
    deltas[layers, 0] = output_delta
    for layer in range(layers - 1, -1, -1):
        rows, columns = np.uint64(widths[layer + 1]), np.uint64(widths[layer])
        start = np.uint64(layout.weights[layer])
        if layout.biases[layer] != NO_BIAS:
            bias = np.uint64(layout.biases[layer])
            for j in range(rows):
                gradient[bias + j] += deltas[layer + 1, j]
        if columns == 1:
            below, total = activations[layer, 0], 0.0
            for j in range(rows):
                gradient[start + j] += deltas[layer + 1, j] * below
                total += deltas[layer + 1, j] * parameters[start + j]
            deltas[layer, 0] = total
        else:
            for k in range(columns):
                deltas[layer, k] = 0.0
            for j in range(rows):
                delta = deltas[layer + 1, j]
                if delta == 0.0:
                    continue
                row = start + j * columns
                for k in range(columns):
                    gradient[row + k] += delta * activations[layer, k]
                    deltas[layer, k] += delta * parameters[row + k]
        if layer > 0:
            for k in range(columns):
                deltas[layer, k] = 0.0 if activations[layer, k] <= 0.0 else deltas[layer, k]


@kernel
def jacobian(parameters, inputs, layout):
    """The gradients of h at inputs (n, d) for parameters (checkpoints, p): (checkpoints, n, p)."""
    checkpoints, p = parameters.shape
    gradients = np.zeros((checkpoints, len(inputs), p))
    shape = len(layout.widths), layout.widths.max()
    activations, deltas = np.zeros(shape), np.zeros(shape)
    for checkpoint in range(checkpoints):
        for i in range(len(inputs)):
            forward(parameters[checkpoint], inputs[i], layout, activations)
            _add_gradient(parameters[checkpoint], layout, activations, deltas, 1.0, gradients[checkpoint, i])
    return gradients


@kernel
def _add_turn(parameters, layout, activations, deltas, layer, row, column, factor, tangents, turns, gradient):
    """Add factor times the derivative, in one weight or bias, of the gradient of h: a row of the Hessian of h.

    The parameter is that of a layer's row, a weight of a column or, if that is -1, a bias. activations, deltas: of
    `forward` and of `_add_gradient` with 1 at the output; tangents, turns: their derivatives, room to work in.
    """
    widths = layout.widths
    layers = len(widths) - 1
    tangents[: layer + 1] = 0.0
    for above in range(layer + 1, layers + 1):
        rows, columns = np.uint64(widths[above]), np.uint64(widths[above - 1])
        start = np.uint64(layout.weights[above - 1])
        for j in range(rows):
            z = 0.0
            for k in range(columns):
                z += parameters[start + j * columns + k] * tangents[above - 1, k]
            tangents[above, j] = z
        if above == layer + 1:
            tangents[above, row] += activations[layer, column] if column >= 0 else 1.0
        if above < layers:
            for j in range(rows):
                tangents[above, j] = 0.0 if activations[above, j] <= 0.0 else tangents[above, j]
    turns[layers, 0] = 0.0
    for below in range(layers - 1, -1, -1):
        rows, columns = np.uint64(widths[below + 1]), np.uint64(widths[below])
        start = np.uint64(layout.weights[below])
        if layout.biases[below] != NO_BIAS:
            bias = np.uint64(layout.biases[below])
            for j in range(rows):
                gradient[bias + j] += factor * turns[below + 1, j]
        for k in range(columns):
            turns[below, k] = 0.0
        for j in range(rows):
            turn, delta = turns[below + 1, j], deltas[below + 1, j]
            place = start + j * columns
            for k in range(columns):
                gradient[place + k] += factor * (turn * activations[below, k] + delta * tangents[below, k])
                turns[below, k] += turn * parameters[place + k]
        if below == layer and column >= 0:
            turns[below, column] += deltas[below + 1, row]
        if below > 0:
            for k in range(columns):
                turns[below, k] = 0.0 if activations[below, k] <= 0.0 else turns[below, k]


@kernel
def hessian(parameters, task, layout):
    """The Hessian of the training loss, (p, p): c/n (phi^T phi + sum_i r_i H_i), row by row."""
    p, n = len(parameters), len(task.labels)
    matrix, gradient = np.zeros((p, p)), np.empty(p)
    shape = len(layout.widths), layout.widths.max()
    activations, deltas, tangents, turns = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    scale = task.residual_factor / n
    for i in range(n):
        residual = forward(parameters, task.inputs[i], layout, activations) - task.labels[i]
        gradient[:] = 0.0
        _add_gradient(parameters, layout, activations, deltas, 1.0, gradient)
        for layer in range(len(layout.widths) - 1):
            rows, columns = layout.widths[layer + 1], layout.widths[layer]
            for row in range(rows):
                for column in range(-1 if layout.biases[layer] != NO_BIAS else 0, columns):
                    place = layout.biases[layer] + row
                    if column >= 0:
                        place = layout.weights[layer] + row * columns + column
                    of_place = matrix[place]
                    weight = scale * gradient[place]
                    for k in range(p):
                        of_place[k] += weight * gradient[k]
                    turned = layer, row, column, scale * residual
                    _add_turn(parameters, layout, activations, deltas, *turned, tangents, turns, of_place)
    return matrix


@kernel
def _residual_scale(parameters, task, examples, layout, activations):
    """Root mean square of the residuals of some examples, without label noise."""
    square = 0.0
    for example in examples:
        residual = forward(parameters, task.inputs[example], layout, activations) - task.labels[example]
        square += residual * residual
    return np.sqrt(square / len(examples))


@kernel
def _advance_in(state, task, course, rule, layout, activations, deltas, gradient, ascended):
    """`advance_batch` with room to work in: activations, deltas (layers + 1, widest), gradient, ascended (p,)."""
    parameters, x, y = state.parameters, task.inputs, task.labels
    indices, label_noise = course.indices, course.label_noise
    batch = indices.shape[1]
    noisy = label_noise.shape[1] > 0
    for step in range(len(course.step_sizes)):
        noise_scale = 1.0
        if rule.noise_follows_loss:
            noise_scale = _residual_scale(parameters, task, indices[step], layout, activations)
        point = parameters
        for ascents in range(1 + (rule.sam_radius > 0.0)):
            if ascents == 1:
                ascend(parameters, gradient, rule.sam_radius, ascended)
                point = ascended
            for k in range(len(parameters)):
                gradient[k] = 0.0
            finite = True
            for b in range(batch):
                example = indices[step, b]
                residual = forward(point, x[example], layout, activations) - y[example]
                if noisy:
                    residual -= noise_scale * label_noise[step, b]
                finite = finite and np.isfinite(residual)
                output_delta = task.residual_factor * residual / batch
                _add_gradient(point, layout, activations, deltas, output_delta, gradient)
            if not finite:
                return step
        descend(parameters, state.velocity, gradient, course.step_sizes[step], rule)
    return len(course.step_sizes)


@kernel
def _room(parameters, layout):
    shape = len(layout.widths), layout.widths.max()
    return np.empty(shape), np.empty(shape), np.empty_like(parameters), np.empty_like(parameters)


@kernel
def advance_batch(state, task, course, rule, layout):
    """Take the steps of one run in place, up to the one at which it diverges, and return how many."""
    activations, deltas, gradient, ascended = _room(state.parameters, layout)
    return _advance_in(state, task, course, rule, layout, activations, deltas, gradient, ascended)


@kernel
def _forward_all(parameters, y, layout, activations, residuals):
    """Fill activations (layers + 1, widest, n), whose first layer holds the inputs, and residuals (n,)."""
    widths = layout.widths
    layers = len(widths) - 1
    n = np.uint64(len(y))
    for layer in range(layers):
        above = layer + 1
        rows, columns = np.uint64(widths[above]), np.uint64(widths[layer])
        start, bias = np.uint64(layout.weights[layer]), np.uint64(layout.biases[layer])
        biased = layout.biases[layer] != NO_BIAS
        for j in range(rows):
            constant = parameters[bias + j] if biased else 0.0
            row = start + j * columns
            for i in range(n):
                activations[above, j, i] = constant
            for k in range(columns):
                weight = parameters[row + k]
                for i in range(n):
                    activations[above, j, i] += weight * activations[layer, k, i]
            if above < layers:
                for i in range(n):
                    z = activations[above, j, i]
                    activations[above, j, i] = 0.0 if z <= 0.0 else z
    for i in range(n):
        residuals[i] = activations[layers, 0, i] - y[i]


@kernel
def _gradient_all(parameters, layout, activations, deltas, gradient):
    """Fill gradient (p,) from deltas (layers + 1, widest, n), whose last layer holds the loss's slopes in h."""
    widths = layout.widths
    layers = len(widths) - 1
    n = np.uint64(activations.shape[2])
    for layer in range(layers - 1, -1, -1):
        rows, columns = np.uint64(widths[layer + 1]), np.uint64(widths[layer])
        start = np.uint64(layout.weights[layer])
        if layout.biases[layer] != NO_BIAS:
            bias = np.uint64(layout.biases[layer])
            for j in range(rows):
                total = 0.0
                for i in range(n):
                    total += deltas[layer + 1, j, i]
                gradient[bias + j] = total
        for j in range(rows):
            row = start + j * columns
            for k in range(columns):
                total = 0.0
                for i in range(n):
                    total += deltas[layer + 1, j, i] * activations[layer, k, i]
                gradient[row + k] = total
        if layer > 0:
            for k in range(columns):
                for i in range(n):
                    deltas[layer, k, i] = 0.0
                for j in range(rows):
                    weight = parameters[start + j * columns + k]
                    for i in range(n):
                        deltas[layer, k, i] += weight * deltas[layer + 1, j, i]
                for i in range(n):
                    deltas[layer, k, i] = 0.0 if activations[layer, k, i] <= 0.0 else deltas[layer, k, i]


@kernel
def advance_all(state, task, course, rule, layout):
    """The same with all examples a step."""
    parameters, y, label_noise = state.parameters, task.labels, course.label_noise
    n, layers = len(y), len(layout.widths) - 1
    noisy = label_noise.shape[1] > 0
    activations = np.zeros((layers + 1, layout.widths.max(), n))
    activations[0, : layout.widths[0]] = task.inputs.T
    deltas = np.zeros_like(activations)
    residuals, gradient, ascended = np.empty(n), np.empty_like(parameters), np.empty_like(parameters)
    for step in range(len(course.step_sizes)):
        noise_scale = 1.0
        point = parameters
        for ascents in range(1 + (rule.sam_radius > 0.0)):
            if ascents == 1:
                ascend(parameters, gradient, rule.sam_radius, ascended)
                point = ascended
            _forward_all(point, y, layout, activations, residuals)
            if rule.noise_follows_loss and ascents == 0:
                noise_scale = np.sqrt(np.mean(residuals**2))
            finite = True
            for i in range(n):
                if noisy:
                    residuals[i] -= noise_scale * label_noise[step, i]
                finite = finite and np.isfinite(residuals[i])
                deltas[layers, 0, i] = task.residual_factor * residuals[i] / n
            if not finite:
                return step
            _gradient_all(point, layout, activations, deltas, gradient)
        descend(parameters, state.velocity, gradient, course.step_sizes[step], rule)
    return len(course.step_sizes)


@kernel
def advance_watched(state, task, course, layout, scales):
    """Plain steps of `advance_batch`, with the root mean square of all residuals before each."""
    everyone = np.arange(len(task.labels))
    activations, deltas, gradient, ascended = _room(state.parameters, layout)
    rule = Rule(0.0, 0.0, 0.0, False)
    for step in range(len(course.step_sizes)):
        scales[step] = _residual_scale(state.parameters, task, everyone, layout, activations)
        one = slice(step, step + 1)
        here = Course(course.indices[one], course.label_noise[one], course.step_sizes[one])
        if _advance_in(state, task, here, rule, layout, activations, deltas, gradient, ascended) == 0:
            return step
    return len(course.step_sizes)
