"""Measures the time that PyTorch needs for the work of this project's kernels, with the shapes of bench/cuda/main.cu.

    python3 bench/cuda/torch_kernels.py [OUT.json] [--device cuda|cpu] [--batches 32,128,256]

All numbers are bfloat16. Attention is scaled_dot_product_attention on padded samples. All other work is measured eager and
compiled (torch.compile).
"""

import argparse
import json
import time

import torch
import torch.nn.functional as F

HEADS, DIM, OBJECTS, FEED_FORWARD, CLASSES, ANSWERS = 12, 64, 36, 3072, 30522, 3129
HIDDEN = HEADS * DIM


def seconds_of(work, device):
    """The shortest time of a call in three runs, in seconds."""

    def run(calls):
        if device == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(calls):
            work()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - begin) / calls

    run(2)
    calls = max(1, min(500, int(0.02 / run(1))))
    return min(run(calls) for _ in range(3))


def residual_norm(y, residual, gamma, beta):
    return F.layer_norm(residual + F.dropout(y, 0.1), (HIDDEN,), gamma, beta, 1e-12)


def both_ways(function, inputs):
    """Two functions: one runs the forward pass, the other runs the forward and the backward pass."""
    with torch.no_grad():
        gradient = torch.randn_like(function(*inputs))
    wanted = [x for x in inputs if x.requires_grad]
    return {
        "forward": lambda: function(*[x.detach() for x in inputs]),
        "both": lambda: torch.autograd.grad(function(*inputs), wanted, gradient),
    }


def cases(batch, tokens, device):
    def tensor(*shape, dtype=torch.bfloat16):
        return torch.randn(*shape, device=device, dtype=dtype, requires_grad=True)

    rows = batch * (tokens + OBJECTS)
    q, k, v = (tensor(batch, HEADS, OBJECTS, DIM) for _ in range(3))
    attention = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.1)  # noqa: E731
    y, residual = tensor(rows, HIDDEN), tensor(rows, HIDDEN)
    gamma, beta = tensor(HIDDEN), tensor(HIDDEN)
    x = tensor(rows, FEED_FORWARD)
    logits = tensor(max(1, batch * tokens * 15 // 100), CLASSES)
    labels = torch.randint(0, CLASSES, logits.shape[:1], device=device)
    answers = tensor(batch, ANSWERS)
    scores = (torch.rand(batch, ANSWERS, device=device) < 0.001).to(torch.bfloat16)
    return {
        "attention objects": (attention, (q, k, v)),
        "residual dropout layerNorm": (residual_norm, (y, residual, gamma, beta)),
        "gelu": (F.gelu, (x,)),
        "softmaxCrossEntropy": (lambda logits: F.cross_entropy(logits, labels, reduction="sum"), (logits,)),
        "sigmoidCrossEntropy": (
            lambda logits: F.binary_cross_entropy_with_logits(logits, scores, reduction="sum"),
            (answers,),
        ),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", default="32,256,1024")
    options = parser.parse_args()
    lines = []
    for batch in map(int, options.batches.split(",")):
        for tokens in (12, 20):
            for name, (function, inputs) in cases(batch, tokens, options.device).items():
                for mode in ("eager", "compiled"):
                    if mode == "compiled" and (name.startswith("attention") or options.device == "cpu"):
                        continue
                    call = torch.compile(function) if mode == "compiled" else function
                    for way, work in both_ways(call, inputs).items():
                        seconds = seconds_of(work, options.device)
                        lines.append(
                            {"kernel": name, "way": way, "mode": mode, "batch": batch, "tokens": tokens, "seconds": seconds}
                        )
                        print(f"{name:28} {way:8} {mode:9} {batch:5} {tokens:3} {seconds * 1e6:10.1f} us", flush=True)
    if options.out:
        with open(options.out, "w", encoding="utf8") as file:
            json.dump({"torch": torch.__version__, "kernels": lines}, file, indent=1)


if __name__ == "__main__":
    main()
