#!/usr/bin/env python3
"""What PyTorch and transformers make of the weights that `lxmert convert` writes, and how fast the large form is read.

usage: check-weights.py models            folders and .pth files that we write, loaded there: keys, values, logits
       check-weights.py large [FOLDER]    a .pth of the published size (912 MB, random numbers): time and memory
       check-weights.py answers ALL_ANS VQA_LABEL2ANS GQA_LABEL2ANS
                                          how many answers of the original's lists are found in the 9,500
       check-weights.py original CHECKOUT the original's own classes load what we write (airsplay/lxmert, torch >= 1.0)

Needs torch, transformers and safetensors; build first (npm run setup). Ends with 1 when something differs.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict

import torch
from safetensors.torch import load_file

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
failures = []


def lxmert(*args):
    """Runs a command; returns the JSON object that it prints."""
    done = subprocess.run(["node", os.path.join(ROOT, "dist/cli/main.js"), *args, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"lxmert {' '.join(args)}: {done.stderr}")
    return json.loads(done.stdout)


def check(what, right, detail=""):
    print(("ok      " if right else "WRONG   ") + what, detail)
    if not right:
        failures.append(what)


def tiny(**more):
    from transformers import LxmertConfig

    return LxmertConfig(vocab_size=61, hidden_size=24, num_attention_heads=3, intermediate_size=40, l_layers=2, r_layers=1, x_layers=2,
                        visual_feat_dim=10, num_qa_labels=9, num_object_labels=7, num_attr_labels=5, max_position_embeddings=16,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more)


def batch(config):
    g = torch.Generator().manual_seed(1)
    return dict(input_ids=torch.randint(1, config.vocab_size, (3, 7), generator=g), attention_mask=torch.ones(3, 7, dtype=torch.long),
                visual_feats=torch.randn(3, 5, config.visual_feat_dim, generator=g), visual_pos=torch.rand(3, 5, 4, generator=g))


def outputs(model, inputs):
    with torch.no_grad():
        found = model.eval()(**inputs)
    return {k: v for k, v in found.items() if isinstance(v, torch.Tensor)}


def models():
    from transformers import LxmertForPreTraining, LxmertForQuestionAnswering, LxmertModel

    with tempfile.TemporaryDirectory() as folder:
        for cls, config in ((LxmertForPreTraining, tiny()), (LxmertForPreTraining, tiny(task_qa=False, visual_attr_loss=False)),
                            (LxmertForPreTraining, tiny(task_obj_predict=False)), (LxmertForQuestionAnswering, tiny()), (LxmertModel, tiny())):
            torch.manual_seed(7)
            model = cls(config)
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=0.3)
            want = outputs(model, batch(config))
            at = tempfile.mkdtemp(dir=folder)
            name = f"{cls.__name__} {'without QA' if not config.task_qa else '' if config.task_obj_predict else 'without objects'}".strip()
            model.save_pretrained(f"{at}/theirs")
            lxmert("convert", f"{at}/theirs", f"{at}/original/m_LXRT.pth")
            lxmert("convert", f"{at}/original/m_LXRT.pth", f"{at}/ours")
            again, info = cls.from_pretrained(f"{at}/ours", output_loading_info=True)
            lost = {k: sorted(v) for k, v in info.items() if v}
            check(f"{name}: no key missing or unexpected", not lost, lost or "")
            got = outputs(again, batch(config))
            check(f"{name}: same logits to the bit", got.keys() == want.keys() and all(torch.equal(got[k], want[k]) for k in want), list(want)[:3])
            for dtype, half in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
                lxmert("convert", f"{at}/theirs", f"{at}/{dtype}", "--dtype", dtype)
                low = load_file(f"{at}/{dtype}/model.safetensors")
                full = load_file(f"{at}/ours/model.safetensors")
                check(f"{name}: {dtype} is rounded as torch does", all(torch.equal(low[k], full[k].to(half)) for k in full))
            # Both readers of torch load the .pth, and torch writes it again in both forms.
            state = torch.load(f"{at}/original/m_LXRT.pth", weights_only=True)
            check(f"{name}: torch.load takes the .pth", len(state) >= len(full))
            if cls is LxmertForPreTraining:
                tied = state["cls.predictions.decoder.weight"].data_ptr() == state["bert.embeddings.word_embeddings.weight"].data_ptr()
                check(f"{name}: the decoder is tied in it", tied)
            for form in (True, False):
                os.makedirs(f"{at}/{form}")
                torch.save(OrderedDict(("module." + k, v) for k, v in state.items()), f"{at}/{form}/s.pth", _use_new_zipfile_serialization=form)
                with open(f"{at}/ours/config.json") as source, open(f"{at}/{form}/config.json", "w") as copy:
                    copy.write(source.read())
                lxmert("convert", f"{at}/{form}/s.pth", f"{at}/{form}/back")
                with open(f"{at}/{form}/back/model.safetensors", "rb") as a, open(f"{at}/ours/model.safetensors", "rb") as b:
                    check(f"{name}: round trip by {'zip' if form else 'legacy'} form, equal to the bit", a.read() == b.read())


READ = """
import { openWeights } from '%s/dist/weights/index.js';
import { readFileSync, openSync, readSync, fstatSync } from 'node:fs';
const [how, path] = process.argv.slice(1);
// Not ru_maxrss: that of a forked child begins with its parent's.
const field = (name) => 1024 * Number(new RegExp(`^${name}:[^0-9]+([0-9]+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
const before = field('VmRSS');
const began = performance.now();
let bytes = 0;
const kept = [];
if (how === 'plain') {
  const file = openSync(path);
  const buffer = Buffer.alloc(4 << 20);
  for (let n; (n = readSync(file, buffer)) > 0; ) bytes += n;
} else if (how === 'whole') {
  const file = openSync(path);
  const buffer = Buffer.allocUnsafeSlow(fstatSync(file).size);
  while (bytes < buffer.length) bytes += readSync(file, buffer, bytes, Math.min(buffer.length - bytes, 1 << 30), bytes);
  kept.push(buffer);
} else {
  const source = await openWeights(path);
  for (const tensor of source.tensors.values()) {
    if (tensor.copyOf !== undefined) continue;
    if (how === 'one by one') for await (const values of tensor.pieces()) bytes += values.byteLength;
    else bytes += kept[kept.push(await tensor.read()) - 1].byteLength;
  }
  await source.close();
}
// On some machines a page costs as much when the program first looks at it as when the system fills it.
let sum = 0;
for (const { buffer } of kept) for (let at = 0, all = new Uint8Array(buffer); at < all.length; at += 4096) sum += all[at];
console.log(JSON.stringify({ sum, seconds: (performance.now() - began) / 1000, bytes, memory: field('VmHWM') - before, cpu: (process.cpuUsage().user + process.cpuUsage().system) / 1e6, kept: kept.length }));
"""


def large(folder=None):
    from transformers import LxmertConfig, LxmertForPreTraining

    with tempfile.TemporaryDirectory(dir=folder) as at:
        torch.manual_seed(0)
        model = LxmertForPreTraining(LxmertConfig())
        state = OrderedDict(("module." + k.replace("lxmert.", "bert.", 1), v) for k, v in model.state_dict().items())
        state["module.cls.predictions.decoder.weight"] = state["module.bert.embeddings.word_embeddings.weight"]
        for form in ("legacy", "zip"):
            torch.save(state, f"{at}/{form}.pth", _use_new_zipfile_serialization=form == "zip")
        del model, state
        program = READ % ROOT
        for form in ("legacy", "zip"):
            path = f"{at}/{form}.pth"
            size = os.path.getsize(path)
            ways = ("plain", "one by one", "whole", "tensors")
            runs = {how: [] for how in ways}
            # The ways take turns, so that other work of the machine slows all of them.
            for how in 3 * ways:
                said = subprocess.run(["node", "--input-type=module", "-e", program, how, path], capture_output=True, text=True, check=True)
                runs[how].append(json.loads(said.stdout))
            times = {how: min(run["seconds"] for run in runs[how]) for how in ways}
            for how in ways:
                read, memory = runs[how][0]["bytes"], max(run["memory"] for run in runs[how])
                cpu = min(run["cpu"] for run in runs[how])
                print(f"{form:7} {size / 1e6:.1f} MB  {how:11} {times[how]:6.2f} s ({cpu:.2f} s of CPU)  memory {memory / 1e6:7.1f} MB more, "
                      f"{memory / read:.2f} of the {read / 1e6:.1f} MB read", flush=True)
                if how == "tensors":
                    check(f"{form}: memory at most 1.3 x the tensors", memory <= 1.3 * read)
            # Only similar ways are compared: all tensors in memory with all bytes in memory, one buffer with one buffer.
            ratio = times["tensors"] / times["whole"]
            check(f"{form}: within 2 x of reading the file", ratio <= 2, f"{ratio:.2f} x")
            print(f"        piece by piece {times['one by one'] / times['plain']:.2f} x of reading into one buffer")
        began = time.monotonic()
        lxmert("convert", f"{at}/legacy.pth", f"{at}/folder")
        print(f"convert to a transformers folder: {time.monotonic() - began:.2f} s")


def answers(*files):
    lists = [json.load(open(f)) for f in files]
    table = [entry["ans"] for entry in lists[0]]
    from transformers import LxmertForPreTraining

    config = tiny()
    config.num_qa_labels = len(table)
    with tempfile.TemporaryDirectory() as at:
        LxmertForPreTraining(config).save_pretrained(f"{at}/pre")
        head = load_file(f"{at}/pre/model.safetensors")
        for name, labels, found in (("vqa", lists[1], 3124), ("gqa", lists[2], 1736)):
            report = lxmert("convert", f"{at}/pre", f"{at}/{name}", "--answers", files[1 if name == "vqa" else 2], "--answers-from", files[0])
            check(f"{name}: answers found", report["answers"]["carried"] == found, report["answers"]["carried"])
            new = load_file(f"{at}/{name}/model.safetensors")
            for part in ("weight", "bias"):
                key = f"answer_head.logit_fc.3.{part}"
                zero = set(report["answers"]["zero"])
                rows = torch.stack([torch.zeros_like(head[key][0]) if a in zero else torch.full_like(head[key][0], float("nan")) for a in labels])
                check(f"{name}: {part} rows are zeros where no answer was found",
                      all(torch.count_nonzero(new[key][i]) == 0 for i, a in enumerate(labels) if a in zero) and len(new[key]) == len(rows))


def original(checkout):
    """Converts tiny models that torch has saved from the original's classes, and converts them back. The classes then load them."""
    import types

    for name in ("boto3", "requests", "botocore", "botocore.exceptions"):  # only its downloader uses them
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["botocore.exceptions"].ClientError = Exception
    sys.path.insert(0, os.path.join(checkout, "src"))
    sys.argv = ["lxmert", "--llayers", "2", "--rlayers", "1", "--xlayers", "2", "--fromScratch"]
    import lxrt.entry as entry
    import lxrt.modeling as modeling

    modeling.VISUAL_CONFIG.set_visual_dims(10, 4)
    modeling.VISUAL_CONFIG.visual_loss_config = {"obj": (7, "ce", (-1,), 1.0), "attr": (5, "ce", (-1,), 1.0), "feat": (10, "l2", (-1, 10), 1.0)}
    modeling.VISUAL_CONFIG.obj_id_num, modeling.VISUAL_CONFIG.attr_id_num = 7, 5
    modeling.VISUAL_CONFIG.l_layers, modeling.VISUAL_CONFIG.r_layers, modeling.VISUAL_CONFIG.x_layers = 2, 1, 2
    config = modeling.BertConfig(61, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=16)
    entry.VisualBertForLXRFeature.from_pretrained = classmethod(lambda cls, name, mode="lxr": cls(config, mode=mode))
    entry.BertTokenizer.from_pretrained = classmethod(lambda cls, *a, **k: None)
    entry.LXRTEncoder.dim = property(lambda self: 24)
    from tasks.nlvr2_model import NLVR2Model
    from tasks.vqa_model import VQAModel

    makers = dict(pretraining=lambda: modeling.LXRTPretraining(config, visual_losses="obj,attr,feat", num_answers=9), VQA=lambda: VQAModel(6), NLVR2=NLVR2Model)
    for kind, make in makers.items():
        torch.manual_seed(3)
        one, two = make(), make()
        with torch.no_grad():
            for parameter in one.parameters():
                parameter.normal_(std=0.3)
        with tempfile.TemporaryDirectory() as at:
            os.makedirs(f"{at}/in")
            torch.save({"module." + k: v for k, v in one.state_dict().items()}, f"{at}/in/x_LXRT.pth")
            lxmert("convert", f"{at}/in/x_LXRT.pth", f"{at}/folder", "--heads", "3")
            lxmert("convert", f"{at}/folder", f"{at}/out/x_LXRT.pth")
            state = torch.load(f"{at}/out/x_LXRT.pth")
            check(f"{kind}: the names are those of the original", set(state) == set(one.state_dict()))
            two.load_state_dict(state, strict=True)
            check(f"{kind}: it loads every value", all(torch.equal(v, two.state_dict()[k]) for k, v in one.state_dict().items()))
            if kind == "pretraining":
                inputs = batch(tiny())
                args = (inputs["input_ids"], torch.zeros_like(inputs["input_ids"]), inputs["attention_mask"])
                with torch.no_grad():
                    (a, b), (c, d) = ((m.eval().bert(*args, visual_feats=(inputs["visual_feats"], inputs["visual_pos"]))) for m in (one, two))
                    same = torch.equal(a[0], c[0]) and torch.equal(a[1], c[1]) and torch.equal(one.answer_head(b), two.answer_head(d))
                check(f"{kind}: same logits to the bit", same)


if __name__ == "__main__":
    tasks = dict(models=models, large=large, answers=answers, original=original)
    if len(sys.argv) < 2 or sys.argv[1] not in tasks:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    tasks[sys.argv[1]](*sys.argv[2:])
    print(f"{len(failures)} wrong" if failures else "all right")
    sys.exit(bool(failures))
