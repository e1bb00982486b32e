#!/usr/bin/env python3
"""What onnx's checker, Python's onnxruntime and transformers make of the models that `lxmert export` writes.

usage: check-onnx.py models    small models of every kind: checker, onnxruntime and transformers on a ragged batch, the programs
                               of docs/export.md and of the model card
       check-onnx.py base      a model of the published size with random weights: file sizes, time, memory, differences, speed
       check-onnx.py large     a model above 2 GiB: external data without a flag

Needs onnx, onnxruntime, tokenizers, torch and transformers; build first (npm run setup). Ends with 1 if something differs.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ["HF_HUB_OFFLINE"] = "1"
failures = []


def check(what, right, detail=""):
    print(("ok      " if right else "WRONG   ") + what, detail, flush=True)
    if not right:
        failures.append(what)


def node(program, *args):
    """Runs an ES module; returns the JSON value that it prints."""
    done = subprocess.run(["node", "--input-type=module", "-e", program, *args], capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


# VmHWM is the largest resident memory of the process itself. ru_maxrss of a forked child begins with that of its parent.
EXPORT = """
import { readFileSync } from 'node:fs';
import { exportOnnx, exportHub } from './dist/export/index.js';
const [how, model, options] = process.argv.slice(1);
const memory = (name) => 1024 * Number(new RegExp(`^${name}:[^0-9]+([0-9]+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1]);
const before = memory('VmRSS');
const began = performance.now();
const made = await (how === 'hub' ? exportHub : exportOnnx)(model, JSON.parse(options));
const seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify({ ...made, seconds, memory: memory('VmHWM'), before }));
"""

# The same samples in lxmert, and in onnxruntime-node with the same number of threads, one after the other.
SPEED = """
import { readFileSync } from 'node:fs';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { packSamples } from './dist/data/batches/packSamples.js';
import { InferenceModel } from './dist/finetune/inference.js';
const [path, graph, file, rounds] = process.argv.slice(1);
const { ids, features, boxes, width } = JSON.parse(readFileSync(file));
const threads = 2;
const model = await InferenceModel.open(path, { engine: { device: 'cpu', threads } });
const session = await InferenceSession.create(graph, { intraOpNumThreads: threads, logSeverityLevel: 3 });
const objects = boxes.length / 4;
const batch = packSamples([{ id: '', tokenIds: ids, features: Float32Array.from(features), boxes: Float32Array.from(boxes) }]);
const integers = (values) => new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
const feeds = {
  input_ids: integers(ids),
  attention_mask: integers(ids.map(() => 1)),
  token_type_ids: integers(ids.map(() => 0)),
  visual_feats: new Tensor('float32', Float32Array.from(features), [1, objects, width]),
  visual_pos: new Tensor('float32', Float32Array.from(boxes), [1, objects, 4]),
  visual_attention_mask: integers(new Array(objects).fill(1)),
};
const times = { lxmert: [], onnxruntime: [] };
let ours, theirs;
for (let i = 0; i < Number(rounds) + 3; i++) {
  let began = performance.now();
  ours = await model.answer(batch);
  if (i >= 3) times.lxmert.push(performance.now() - began);
  began = performance.now();
  theirs = (await session.run(feeds)).logits.data;
  if (i >= 3) times.onnxruntime.push(performance.now() - began);
}
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const difference = Math.max(...ours.map((value, i) => Math.abs(value - theirs[i])));
console.log(JSON.stringify({ lxmert: median(times.lxmert), onnxruntime: median(times.onnxruntime), difference, ours: Array.from(ours) }));
await model.dispose();
"""


def export(how, model, **options):
    return node(EXPORT, how, model, json.dumps(options))


def tiny(**more):
    from transformers import LxmertConfig

    sizes = dict(hidden_size=24, num_attention_heads=3, intermediate_size=40, l_layers=2, r_layers=1, x_layers=2, visual_feat_dim=10,
                 num_qa_labels=9, num_object_labels=7, num_attr_labels=5, max_position_embeddings=32)
    return LxmertConfig(**sizes, **more)


def saved(cls, config, folder, std):
    torch.manual_seed(7)
    model = cls(config).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=std)
    model.save_pretrained(folder)
    if hasattr(model.config, "num_qa_labels"):
        with open(f"{folder}/answers.json", "w") as file:
            json.dump([f"answer {i}" for i in range(config.num_qa_labels)], file)
    return model


def batch(config, samples, tokens, objects):
    """A batch whose samples have different lengths; padding holds numbers that must not count."""
    random = np.random.default_rng(1)
    ids = random.integers(1000, 20000, (samples, tokens))
    words, seen = np.ones((samples, tokens), np.int64), np.ones((samples, objects), np.int64)
    for i in range(1, samples):
        words[i, tokens - 2 * i :] = 0
        seen[i, objects - i :] = 0
    boxes = np.sort(random.random((samples, objects, 4), np.float32), -1)
    features = random.standard_normal((samples, objects, config.visual_feat_dim), np.float32)
    return dict(input_ids=ids, attention_mask=words, token_type_ids=np.zeros_like(words), visual_feats=features, visual_pos=boxes,
                visual_attention_mask=seen)


def of_transformers(model, feeds):
    with torch.no_grad():
        found = model(**{name: torch.from_numpy(values) for name, values in feeds.items()})
    return {name: value.numpy() for name, value in found.items() if isinstance(value, torch.Tensor)}


def furthest(name, ours, theirs, feeds):
    """The largest difference; rows of padding do not count."""
    mask = None
    if ours.ndim == 3:
        mask = feeds["visual_attention_mask" if name.startswith(("vision", "object", "attribute", "feature")) else "attention_mask"]
    differences = np.abs(ours - theirs)
    return float(differences.max() if mask is None else differences[mask == 1].max())


def run(path, feeds, threads=2):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


# The names of transformers, where they differ. It has no outputs for the heads of objects.
RENAMED = {"logits": "question_answering_score"}


def compare(what, path, model, feeds, limit):
    theirs = of_transformers(model, feeds)
    for name, values in run(path, feeds).items():
        known = RENAMED.get(name, name)
        if known in theirs:
            difference = furthest(name, values, theirs[known], feeds)
            check(f"{what}: {name} is that of transformers", difference < limit, f"{difference:.1e}")
        else:
            check(f"{what}: {name} has no NaN", bool(np.isfinite(values).all()), values.shape)


def code_of(path, language):
    with open(path) as file:
        return re.search(rf"```{language}\n(.*?)```", file.read(), re.S).group(1)


def python(program, folder):
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr[-600:]}"


OURS = """
import { openModel } from './dist/finetune/index.js';
const [path, questions, features, boxes] = process.argv.slice(1);
const model = await openModel(path, { device: 'cpu', threads: 1 });
const answer = async (question) => {
  const picture = { features: Float32Array.from(JSON.parse(features)), boxes: Float32Array.from(JSON.parse(boxes)) };
  const ranked = await model.answer(picture, question, { top: model.answers.length });
  return model.answers.map((name) => ranked.find(({ answer }) => answer === name).probability);
};
const found = [];
for (const question of JSON.parse(questions)) found.push(await answer(question));
console.log(JSON.stringify(found));
await model.dispose();
"""


def page_program(folder, model):
    """Runs the program of docs/export.md on a model of answers in `folder`, and compares its logits with lxmert's probabilities."""
    questions = ["What color is it?", "is the café left of the two unbelievably large red circles?"]
    picture = np.random.default_rng(3).standard_normal((5, 10)).tolist(), [[0.1, 0.1, 0.4, 0.4]] * 5
    asked = f"\nprint(json.dumps(logits_of({questions!r}, [{picture!r}] * 2).tolist()))"
    printed = python(code_of(f"{ROOT}/docs/export.md", "python") + asked, folder)
    check("the program of docs/export.md runs", printed.startswith("answer "), printed[-300:] if "failed" in printed else "")
    logits = np.array(json.loads(printed.split("\n")[-1]))
    flat = [json.dumps(np.ravel(part).tolist()) for part in picture]
    ours = np.array(node(OURS, model, json.dumps(questions), *flat))
    difference = np.abs(1 / (1 + np.exp(-logits)) - ours).max()
    check("its probabilities are lxmert's", difference < 1e-4, f"{difference:.1e}")


def models():
    from transformers import LxmertForPreTraining, LxmertForQuestionAnswering, LxmertModel

    kinds = ((LxmertForPreTraining, tiny()), (LxmertForPreTraining, tiny(task_qa=False, visual_attr_loss=False)),
             (LxmertForPreTraining, tiny(task_obj_predict=False)), (LxmertForQuestionAnswering, tiny()), (LxmertModel, tiny()))
    with tempfile.TemporaryDirectory() as folder:
        for i, (cls, config) in enumerate(kinds):
            at, what = f"{folder}/{i}", f"{cls.__name__} {i}"
            model = saved(cls, config, at, 0.3)
            feeds = batch(config, 4, 12, 9)
            tasks = [None, "encoder"] if cls is LxmertForPreTraining else [None]
            for task in tasks:
                for precision, limit in (("float32", 1e-4), ("float16", 5e-2)):
                    for external in (False, True):
                        name = f"{what} {task or ''} {precision}{' external' if external else ''}"
                        path = f"{at}/{name.replace(' ', '-')}.onnx"
                        export("onnx", at, out=path, precision=precision, externalData=external, **({"task": task} if task else {}))
                        try:
                            onnx.checker.check_model(path, full_check=True)
                            check(f"{name}: onnx's checker", True)
                        except Exception as error:  # noqa: BLE001
                            check(f"{name}: onnx's checker", False, error)
                        compare(name, path, model.lxmert if task and hasattr(model, "lxmert") else model, feeds, limit)
            export("hub", at, out=f"{at}/hub")
            again, info = cls.from_pretrained(f"{at}/hub", output_loading_info=True)
            lost = {key: sorted(value) for key, value in info.items() if value}
            check(f"{what}: the hub's folder has no key missing or unexpected", not lost, lost or "")
            first, second = of_transformers(model, feeds), of_transformers(again.eval(), feeds)
            check(f"{what}: the hub's folder gives the same outputs to the bit", all(np.array_equal(first[k], second[k]) for k in first))
            printed = python(code_of(f"{at}/hub/README.md", "python"), f"{at}/hub")
            check(f"{what}: the program of the model card runs", "failed" not in printed, printed)
            if cls is LxmertForQuestionAnswering:
                check(f"{what}: the card's program prints an answer", printed.startswith("answer "))
                export("onnx", f"{at}/hub", out=f"{at}/hub/model.onnx")
                page_program(f"{at}/hub", f"{at}/hub")


def tell(what, made):
    size = made["bytes"] + (made.get("data") or {"bytes": 0})["bytes"]
    print(f"        {what}: {made['parameters']:,} parameters, {size / 1e6:,.0f} MB, {made['seconds']:.1f} s, memory "
          f"{made['memory'] / 1e6:.0f} MB, of these {made['before'] / 1e6:.0f} MB before it began", flush=True)


def base():
    from transformers import LxmertConfig, LxmertForPreTraining, LxmertForQuestionAnswering

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for cls, config in ((LxmertForQuestionAnswering, LxmertConfig(num_qa_labels=3129)), (LxmertForPreTraining, LxmertConfig())):
            at = f"{folder}/{cls.__name__}"
            model = saved(cls, config, at, 0.04)
            feeds = batch(config, 3, 20, 36)
            for precision, limit in (("float32", 1e-4), ("float16", 5e-2)):
                path = f"{at}/{precision}.onnx"
                made = export("onnx", at, out=path, precision=precision)
                tell(f"{cls.__name__} {precision}", made)
                onnx.checker.check_model(path)
                compare(f"{cls.__name__} {precision}", path, model, feeds, limit)
            if cls is LxmertForQuestionAnswering:
                one = {name: values[:1] for name, values in feeds.items()}
                sample = dict(ids=one["input_ids"][0].tolist(), features=one["visual_feats"].ravel().tolist(),
                              boxes=one["visual_pos"].ravel().tolist(), width=config.visual_feat_dim)
                with open(f"{at}/sample.json", "w") as file:
                    json.dump(sample, file)
                for precision in ("float32", "float16"):
                    found = node(SPEED, at, f"{at}/{precision}.onnx", f"{at}/sample.json", "25")
                    check(f"{precision}: onnxruntime and lxmert agree", found["difference"] < (1e-4 if precision == "float32" else 5e-2),
                          f"{found['difference']:.1e}; largest logit {max(map(abs, found['ours'])):.2f}")
                    print(f"        one question on 2 threads, median: lxmert {found['lxmert']:.1f} ms, onnxruntime {precision} "
                          f"{found['onnxruntime']:.1f} ms", flush=True)
            for name in os.listdir(at):
                os.remove(f"{at}/{name}")


def large():
    """Weights of zeros in a sparse file, so that it needs no disk."""
    from transformers import LxmertConfig, LxmertModel

    config = LxmertConfig(vocab_size=500_000, num_qa_labels=2)
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in LxmertModel(config).state_dict().items()}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        config.save_pretrained(folder)
        header, end = {}, 0
        for name, shape in shapes.items():
            size = 4 * int(np.prod(shape))
            header[f"lxmert.{name}"] = dict(dtype="F32", shape=shape, data_offsets=[end, end + size])
            end += size
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(f"{folder}/model.safetensors", "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + end)
        made = export("onnx", folder, out=f"{folder}/model.onnx")
        tell("large", made)
        check("the values are in a second file", made["data"]["bytes"] > 2**31, f"{made['data']['bytes']:,} bytes")
        onnx.checker.check_model(f"{folder}/model.onnx")
        feeds = batch(config, 2, 6, 4)
        check("onnxruntime runs it", np.isfinite(run(f"{folder}/model.onnx", feeds)["pooled_output"]).all())


if __name__ == "__main__":
    modes = {"models": models, "base": base, "large": large}
    if len(sys.argv) != 2 or sys.argv[1] not in modes:
        raise SystemExit(__doc__)
    modes[sys.argv[1]]()
    print(f"{len(failures)} failures" if failures else "no failures")
    sys.exit(1 if failures else 0)
