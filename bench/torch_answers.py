"""Answers questions with transformers' LXMERT in PyTorch, for `lxmert bench answers --peer-python`.

It runs eagerly, and only the forward pass.
"""

from torch_peer import inputs, lxmert_config, serve


def prepare(setup):
    import torch
    from transformers import LxmertForQuestionAnswering

    setups = setup["batches"]
    config = lxmert_config(setups[0]["config"])
    model = LxmertForQuestionAnswering(config).eval()
    batches = [inputs(one, config) for one in setups]

    def run(request):
        with torch.no_grad():
            model(**batches[request["batch"]])

    return run


if __name__ == "__main__":
    serve(prepare)
