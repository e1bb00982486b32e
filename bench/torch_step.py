"""A pre-training step of transformers' LXMERT in PyTorch, eager, for `lxmert bench step --peer-python`.

The same work as ours on padded rows, as the public code has it: all five tasks, dropout, gradient clip, AdamW.
"""

from torch_peer import inputs, lxmert_config, serve


def prepare(setup):
    import torch
    from transformers import LxmertForPreTraining

    config = lxmert_config(setup["config"])
    batch = inputs(setup, config)
    model = LxmertForPreTraining(config).train()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    shape = batch["visual_feats"].shape[:2]
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
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=setup["learningRate"],
        betas=(setup["beta1"], setup["beta2"]),
        eps=setup["epsilon"],
        weight_decay=setup["weightDecay"],
        **OPTIMIZER,
    )

    def step(_):
        optimizer.zero_grad(set_to_none=True)
        loss = model(**batch, labels=words, obj_labels=targets, matched_label=matched, ans=ans).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), setup["maxGradNorm"])
        optimizer.step()
        if not torch.isfinite(loss):
            raise SystemExit(f"the loss is {loss.item()}")

    return step


# The fastest of PyTorch's three on a CPU (for loop, foreach, fused), and the one that takes least memory.
OPTIMIZER = {"fused": True}

if __name__ == "__main__":
    serve(prepare)
