"""The program that `--peer-python` starts. It reads and writes one JSON object a line (src/bench/peer.ts)."""

import json
import os
import sys
import time

# Output of libraries goes to stderr, so that stdout has only answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


def answer(**fields):
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


def peak_memory():
    """The largest number of bytes: of the device's memory if it was used, otherwise of the resident set."""
    import torch

    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def serve(prepare):
    """Reads the set-up. Then runs `prepare(setup)(request)` for each request, and measures its time, until a request has `end`.

    `prepare` may return the function together with a text that describes how it runs.
    """
    import torch

    setup = json.loads(sys.stdin.readline())
    prepared = prepare(setup)
    run, how = prepared if isinstance(prepared, tuple) else (prepared, "")
    device = f" on {torch.cuda.get_device_name()}" if torch.cuda.is_initialized() else ""
    answer(name=f"PyTorch {torch.__version__}{device}{how and ', ' + how}")
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("end"):
            answer(peakMemoryBytes=peak_memory())
            return
        start = time.perf_counter()
        run(request)
        answer(seconds=time.perf_counter() - start)


def lxmert_config(fields):
    """transformers' configuration of the same model."""
    from transformers import LxmertConfig

    return LxmertConfig(**fields)


def inputs(setup, config):
    """A random padded batch with the same sentence lengths and numbers of objects."""
    import torch

    torch.set_num_threads(setup["threads"])
    torch.manual_seed(setup["seed"])
    lengths = torch.tensor(setup["lengths"])
    width = setup["paddedTokens"]
    mask = (torch.arange(width)[None] < lengths[:, None]).long()
    ids = torch.randint(1, config.vocab_size, mask.shape) * mask
    shape = (len(lengths), setup["objects"])
    return dict(
        input_ids=ids,
        attention_mask=mask,
        visual_feats=torch.relu(torch.rand(*shape, config.visual_feat_dim) * 2 - 1),
        visual_pos=torch.rand(*shape, config.visual_pos_dim),
    )
