"""A training step of transformers' LXMERT in PyTorch, for `lxmert bench step --peer-python`.

The step does the same work as our step, but on padded rows, as the public code does: all five tasks, or the answer head of VQA
or NLVR2 on the pooled output, with dropout, gradient clipping and AdamW. On the CPU it runs eagerly. On CUDA its time is
measured eager and compiled, each with the model's own attention and with PyTorch's fused attention (SDPA), if transformers
offers SDPA. The fastest configuration is then measured again.
"""

import sys
import time

from torch_peer import inputs, lxmert_config, serve

# Number of steps of a configuration before the timed ones (PyTorch compiles during these), and number of timed steps.
WARMUP, TIMED = 3, 5
# PyTorch has three implementations of AdamW (for loop, foreach, fused). The fused one is the fastest and needs least memory.
OPTIMIZER = {"fused": True}


def work_of(setup, config):
    """The inputs and the labels, the same for every configuration."""
    import torch

    batch = inputs(setup, config)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    shape = batch["visual_feats"].shape[:2]
    if setup.get("task", "pretrain") != "pretrain":
        questions = shape[0] // pictures_of(setup)
        hard = torch.randint(0, config.num_qa_labels, (questions,))
        soft = torch.nn.functional.one_hot(hard, config.num_qa_labels).float()
        return dict(inputs=batch, target=hard if setup["task"] == "nlvr2" else soft)
    masked = 0.15
    words = torch.where((torch.rand(ids.shape) < masked) & (mask > 0), ids, torch.tensor(-100))
    words[:, 1] = ids[:, 1]  # at least one label
    targets = {
        "obj": (torch.randint(0, config.num_object_labels, shape), torch.rand(shape)),
        "attr": (torch.randint(0, config.num_attr_labels, shape), torch.rand(shape)),
        "feat": (batch["visual_feats"], (torch.rand(shape) < masked).float()),
    }
    matched = torch.randint(0, 2, shape[:1])
    ans = torch.randint(0, config.num_qa_labels, shape[:1])
    return dict(batch, labels=words, obj_labels=targets, matched_label=matched, ans=ans)


def pictures_of(setup):
    return 2 if setup.get("task") == "nlvr2" else 1


def question_model(config, pictures, chosen):
    """The public code's VQAModel (one picture) or NLVR2Model (two pictures), which returns its loss for a batch."""
    from torch import nn
    from transformers import LxmertModel

    class QuestionModel(nn.Module):
        def __init__(self):
            super().__init__()
            hidden = config.hidden_size
            self.lxmert = LxmertModel._from_config(config, **chosen)
            self.head = nn.Sequential(
                nn.Linear(pictures * hidden, 2 * hidden),
                nn.GELU(),
                nn.LayerNorm(2 * hidden, eps=1e-12),
                nn.Linear(2 * hidden, config.num_qa_labels),
            )

        def forward(self, inputs, target):
            pooled = self.lxmert(**inputs).pooled_output
            logits = self.head(pooled.view(-1, pictures * pooled.shape[1])).float()
            if pictures == 2:
                return nn.functional.cross_entropy(logits, target)
            return nn.functional.binary_cross_entropy_with_logits(logits, target) * logits.shape[1]

    return QuestionModel()


def moved(values, device):
    if isinstance(values, dict):
        return {key: moved(value, device) for key, value in values.items()}
    if isinstance(values, tuple):
        return tuple(moved(value, device) for value in values)
    return values.to(device)


def step_of(setup, config, work, attention=None, compiled=False):
    """A function that runs one step; `attention` names one of transformers' implementations."""
    import torch
    from transformers import LxmertForPreTraining

    device, bfloat16 = setup.get("device", "cpu"), setup.get("precision") == "bfloat16"
    cuda = device == "cuda"
    chosen = {"attn_implementation": attention} if attention else {}
    tuning = setup.get("task", "pretrain") != "pretrain"
    model = (
        question_model(config, pictures_of(setup), chosen)
        if tuning
        else LxmertForPreTraining._from_config(config, **chosen)
    )
    model = model.train().to(device)
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=setup["learningRate"],
        betas=(setup["beta1"], setup["beta2"]),
        eps=setup["epsilon"],
        weight_decay=setup["weightDecay"],
        **OPTIMIZER,
    )

    def step(_=None):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=cuda and bfloat16):
            loss = forward(**work) if tuning else forward(**work).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), setup["maxGradNorm"])
        optimizer.step()
        # Reading the loss waits for the device, as it does in our step.
        if not torch.isfinite(loss):
            raise SystemExit(f"the loss is {loss.item()}")
        if cuda:
            torch.cuda.synchronize()

    return step


def milliseconds(step):
    for _ in range(WARMUP):
        step()
    start = time.perf_counter()
    for _ in range(TIMED):
        step()
    return 1000 * (time.perf_counter() - start) / TIMED


def fastest(setup, config, work):
    """The step of the fastest configuration on CUDA, and a text with the time of each configuration."""
    import torch

    times, best = {}, None
    for attention in ("eager", "sdpa"):
        for compiled in (False, True):
            name = f"{attention}{', compiled' if compiled else ''}"
            try:
                step = step_of(setup, config, work, attention, compiled)
                times[name] = milliseconds(step)
            except (ValueError, RuntimeError, ImportError) as error:  # transformers does not offer it, or no compiler
                print(f"{name}: {error}", file=sys.stderr)
                continue
            # The fastest step is kept, because compiling it again would take a minute.
            if times[name] == min(times.values()):
                best = name, step
            del step
            torch.cuda.empty_cache()
    if best is None:
        raise SystemExit("no configuration runs on this device")
    torch.cuda.reset_peak_memory_stats()
    name, step = best
    described = "; ".join(f"{each} {time:.1f} ms" for each, time in times.items())
    return step, f"{name} (of {described})"


def prepare(setup):
    config = lxmert_config(setup["config"])
    work = work_of(setup, config)
    if setup.get("device") != "cuda":
        return step_of(setup, config, work)
    return fastest(setup, config, moved(work, "cuda"))


if __name__ == "__main__":
    serve(prepare)
