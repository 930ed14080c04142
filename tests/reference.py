"""Float64 NumPy references: exact Gumbel-Rao derivatives by brute force, and by sampling.

Nothing here is shared with the library: other integration variables, no fits, no rescaling.
"""

import itertools

import numpy as np

_STEP = 0.25
_LOG_E = np.arange(-26.0, 4.0, _STEP)  # the winner's exponential, E_i
_LOG_T = np.arange(-11.0, 4.0, _STEP)  # 1 / s^2 = integral of t exp(-t s) dt
_LOG_EXPONENTIAL = np.arange(-52.0, 4.2, _STEP)  # every other class's exponential, E_m


def softmax(logits):
    """Softmax over the last axis."""
    shifted = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def subsets(size, k):
    """All k-hot vectors of a size, shape [number, size]."""
    chosen = list(itertools.combinations(range(size), k))
    vectors = np.zeros((len(chosen), size))
    for row, indices in zip(vectors, chosen, strict=True):
        row[list(indices)] = 1.0
    return vectors


def conditional_bernoulli(logits, k):
    """Probabilities of `subsets(n, k)` in proportion to exp(sum of their logits)."""
    with np.errstate(invalid="ignore"):
        sums = np.where(subsets(len(logits), k) > 0, logits, 0.0).sum(1)
    return softmax(sums)


def plackett_luce(logits, k):
    """Probabilities of `subsets(n, k)` drawn without replacement, summed over the k! orders."""
    weights = softmax(np.asarray(logits, np.float64))
    result = []
    for subset in subsets(len(weights), k):
        total = 0.0
        for order in itertools.permutations(np.flatnonzero(subset)):
            before = np.cumsum([0.0, *weights[list(order)][:-1]])
            rest = np.maximum(1.0 - before, 1e-300)
            total += np.prod(weights[list(order)] / rest)
        result.append(total)
    return np.array(result)


def cold_limit_jacobian(logits):
    """The limit of `conditional_derivatives(...)[0]` at temperature 0, shape [n, n, n]."""
    probs = softmax(np.asarray(logits, np.float64))
    size = len(probs)
    jacobian = np.zeros((size, size, size))
    for i in range(size):
        jacobian[i] = np.diag(probs / 2)
        jacobian[i, i, i] = (1 - probs[i]) / 2
        for j in range(size):
            if j != i:
                jacobian[i, i, j] = jacobian[i, j, i] = -probs[j] / 2
    return jacobian


def conditional_derivatives(logits, temperature):
    """E[dS/dlogits | D] and E[dS/dtemperature | D] of S = softmax((logits + Gumbel) / temperature).

    Given D = onehot(i), S_j is proportional to W_j = (1 + E_j / (E_i p_j))^(-1 / temperature), with
    W_i = 1 and independent E ~ Exp(1) (Paulus, Maddison and Krause 2021, eq. 9). Trapezoidal sums
    in log E_i, log t and log E_j, all of double-exponential decay.

    Args:
        logits: [n], finite ones within about 25 of one another; -inf masks a class.
        temperature: > 0.

    Returns:
        jacobian: [n, n, n]; jacobian[i] = E[dS/dlogits | D = onehot(i)], symmetric.
        temperature_derivative: [n, n]; row i = E[dS/dtemperature | D = onehot(i)].
    """
    probs = softmax(np.asarray(logits, np.float64))
    size = len(probs)
    e, t, x = np.exp(_LOG_E), np.exp(_LOG_T), np.exp(_LOG_EXPONENTIAL)
    weight = np.outer(_STEP * e * np.exp(-e), _STEP * t * t * np.exp(-t))  # [e, t]
    kept = weight > 1e-16
    density = _STEP * x * np.exp(-x)
    total_log_phi = np.zeros(kept.sum())
    log_phi, a, b = [], [], []
    for prob in probs:
        with np.errstate(divide="ignore"):
            log_w = -np.log1p(x / (prob * e[:, None])) / temperature  # [e, x]
        with np.errstate(under="ignore", invalid="ignore"):
            w = np.exp(log_w)
            w_log_w = np.where(w > 0, -w * log_w, 0.0)
        damped = np.exp(-t[:, None, None] * w)  # [t, e, x]
        phi = damped @ density  # [t, e]
        a.append((np.einsum("tex,ex->te", damped, w * density) / phi).T[kept])
        b.append((np.einsum("tex,ex->te", damped, w_log_w * density) / phi).T[kept])
        log_phi.append(np.log(phi).T[kept])
        total_log_phi += log_phi[-1]
    a, b = np.array(a), np.array(b)  # [n, nodes]
    jacobian = np.zeros((size, size, size))
    temperature_derivative = np.zeros((size, size))
    for i in range(size):
        joint = weight[kept] * np.exp(total_log_phi - log_phi[i])
        a_i, b_i = a.copy(), b.copy()
        a_i[i], b_i[i] = 1.0, 0.0
        pair = np.einsum("jr,lr->jl", a_i * joint, a_i) / temperature
        np.fill_diagonal(pair, 0.0)
        jacobian[i] = np.diag(pair.sum(1)) - pair
        moment = np.einsum("jr,lr->jl", b_i * joint, a_i) / temperature
        temperature_derivative[i] = (moment - moment.T).sum(1)
    return jacobian, temperature_derivative


def sample_conditional_derivatives(logits, index, upstream, temperature, num_samples, rng):
    """Monte Carlo draws of the two vector-Jacobian products, [num_samples, n] and [num_samples]."""
    logits, upstream = np.asarray(logits, np.float64), np.asarray(upstream, np.float64)
    probs = softmax(logits)
    exponential = rng.exponential(size=(num_samples, len(probs)))
    winner = exponential[:, index, None]
    perturbed = -np.log(exponential / probs + winner)
    perturbed[:, index] = -np.log(winner[:, 0])
    scaled = perturbed / temperature
    soft = softmax(scaled)
    gradient = soft * (upstream - (soft @ upstream)[:, None]) / temperature
    return gradient, -(gradient * scaled).sum(1)
