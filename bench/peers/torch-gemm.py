"""float32 matrix products in PyTorch on the processor: python3 bench/peers/torch-gemm.py <threads> '[[m,n,k],…]'

Prints one JSON line: { version, rates: GFLOP/s in the order asked }.
"""

import json
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]))
rates = []
for m, n, k in json.loads(sys.argv[2]):
    a, b, out = torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)
    least = float("inf")
    end = time.perf_counter() + 0.7
    torch.mm(a, b, out=out)
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        least = min(least, time.perf_counter() - start)
    rates.append(2 * m * n * k / least / 1e9)
print(json.dumps({"version": torch.__version__, "rates": rates}))
