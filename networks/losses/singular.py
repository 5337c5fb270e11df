"""Follow the largest singular values of a stack of matrices while an optimiser moves them."""

import torch
from torch import Tensor, nn


class LeadingSingularVectors(nn.Module):
    """Largest singular value and its vectors of a stack of matrices, cheap when called once per training step.

    The first call starts from random vectors and iterates until the residual is small. Every further call takes one
    restarted block Lanczos step (Rayleigh-Ritz in a small Krylov space) from the ``block`` leading vectors of the
    last one, joined by a sketch D'R of the change D of the matrices since then (R random and fixed, so that only
    W'R need be kept). Adam's first steps are sign patterns, nearly of low rank, that can grow a new leading
    direction within a few steps: it is found in the sketch at once, where power steps from the old vectors
    alone would be blind to it.

    All numbers are float32. Start and sketch come from a fixed seed, so ranks of a distributed run agree. The state
    is not saved: it starts again when the number, shape or device of the matrices changes.

    Args:
        block: vectors that are followed per matrix; more resist small gaps between singular values.
        probes: columns of R.
        powers: how often W'W is applied per step.
        tolerance: residual ``|W'u - sigma v| / sigma`` at which the start ends.
        max_start_steps: steps after which the start ends in any case.

    Shape:
        - matrices: ``(G, m, n)`` float32.
        - output: u ``(G, m)``, sigma ``(G,)``, v ``(G, n)``; u and v of unit length with u'Wv = sigma; u is 0
          for a matrix that is 0.
    """

    def __init__(
        self,
        block: int = 8,
        probes: int = 4,
        powers: int = 3,
        *,
        tolerance: float = 1e-4,
        max_start_steps: int = 50,
    ) -> None:
        super().__init__()
        self.block = block
        self.probes = probes
        self.powers = powers
        self.tolerance = tolerance
        self.max_start_steps = max_start_steps
        self.vectors: Tensor
        self.sketch: Tensor
        # Vectors are rows: (q, m) @ (m, n) is several times faster on a CPU than (n, m) @ (m, q).
        self.register_buffer("vectors", None, persistent=False)  # (G, block, n)
        self.register_buffer("sketch", None, persistent=False)  # (G, probes, n)

    @torch.no_grad()
    def forward(self, matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.autocast(matrices.device.type, enabled=False):
            sketch = _fixed_random(self.probes, matrices.shape[-2], matrices) @ matrices
            if self.vectors is None or self.sketch is None or _differ(self.sketch, sketch):
                u, sigma, v = self._start(matrices)
            else:
                u, sigma, v = self._step(matrices, torch.cat([self.vectors, sketch - self.sketch], dim=-2))
        self.sketch = sketch
        return u, sigma, v

    def _start(self, matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        basis = _fixed_random(2 * self.block, matrices.shape[-1], matrices).expand(len(matrices), -1, -1)
        for _ in range(self.max_start_steps):
            u, sigma, v = self._step(matrices, basis)
            basis = self.vectors
            residual = (u[:, None] @ matrices).squeeze(1) - sigma[:, None] * v  # (G, n)
            if bool((residual.norm(dim=-1) <= self.tolerance * sigma).all()):
                break
        return u, sigma, v

    def _step(self, matrices: Tensor, basis: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rayleigh-Ritz in the block Krylov space of W'W on ``basis`` (G, p, n)."""
        parts = [_orthonormal(basis)]
        for _ in range(self.powers):
            parts.append(_orthonormal(parts[-1] @ matrices.mT @ matrices))
        basis = _orthonormal(torch.cat(parts, dim=-2))
        image = basis @ matrices.mT  # (G, q, m)
        values, rotation = torch.linalg.eigh(image @ image.mT)  # ascending
        rotation = rotation.mT.flip(-2)[:, : self.block]
        self.vectors = rotation @ basis
        sigma = values[:, -1].clamp(min=0).sqrt()
        u = (rotation[:, :1] @ image).squeeze(-2)
        return u / sigma.clamp(min=torch.finfo(u.dtype).tiny)[:, None], sigma, self.vectors[:, 0]


def _differ(before: Tensor, now: Tensor) -> bool:
    return (before.shape, before.device, before.dtype) != (now.shape, now.device, now.dtype)


def _orthonormal(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows.mT).Q.mT


def _fixed_random(rows: int, columns: int, like: Tensor) -> Tensor:
    """Standard normal numbers that are the same at every call and on every device."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(min(rows, columns), columns, generator=generator).to(like)
