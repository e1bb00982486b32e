import type { CardFacts } from './cardFacts.js';

type Kind = CardFacts['kind'];

/** The class of transformers that loads each kind of model, and a line that prints something of its outputs. */
const programs: Readonly<Record<Kind, { readonly model: string; readonly print: string }>> = {
  questionAnswering: {
    model: 'LxmertForQuestionAnswering',
    print: 'print(model.config.id2label[outputs.question_answering_score.argmax(-1).item()])',
  },
  pretraining: {
    model: 'LxmertForPreTraining',
    print:
      'print(outputs.cross_relationship_score.softmax(-1)[0, 1].item())  # whether the sentence belongs to the picture',
  },
  nlvr2: { model: 'LxmertModel', print: 'print(outputs.pooled_output.shape)' },
  encoder: { model: 'LxmertModel', print: 'print(outputs.pooled_output.shape)' },
};

/** The row of the answer, for a model whose answers are not known. */
const printRow = 'print(outputs.question_answering_score.argmax(-1).item())';

function transformersProgram({ kind, config, answers }: CardFacts): string {
  const { model, print } = programs[kind];
  return `\`\`\`python
import torch
from transformers import AutoTokenizer, ${model}

folder = "."  # this folder, or its name on a hub
tokenizer = AutoTokenizer.from_pretrained(folder)
model = ${model}.from_pretrained(folder).eval()
words = tokenizer("what is on the left?", truncation=True, return_tensors="pt")
# The objects of one picture: features of the detector, and x0, y0, x1, y1 as shares of the picture.
features = torch.rand(1, 36, ${config.visualFeatDim})
boxes = torch.tensor([[[0.1, 0.1, 0.5, 0.9]]]).expand(1, 36, 4)
with torch.no_grad():
    outputs = model(**words, visual_feats=features, visual_pos=boxes)
${kind === 'questionAnswering' && !answers ? printRow : print}
\`\`\``;
}

/** How to use the model from transformers and from lxmert, in Markdown. */
export function usage(facts: CardFacts): string {
  const { kind, hasTokenizer, task } = facts;
  return [
    'The features must come from the detector whose features the model was trained with.',
    ...(kind === 'nlvr2'
      ? [
          'transformers has no class for the head that reads two pictures. Its `LxmertModel` loads the encoder; lxmert loads all of it.',
        ]
      : []),
    ...(hasTokenizer ? ['With transformers:', transformersProgram(facts)] : []),
    'With lxmert:',
    [
      '```',
      ...(kind === 'questionAnswering'
        ? ['npx lxmert answer FOLDER PICTURE.jpg "what is on the left?" --detector DETECTOR.onnx']
        : []),
      ...(task ? [`npx lxmert evaluate ${task.task} --checkpoint FOLDER --data DATA --split SPLIT`] : []),
      'npx lxmert export onnx FOLDER --out model.onnx',
      '```',
    ].join('\n'),
  ].join('\n\n');
}
