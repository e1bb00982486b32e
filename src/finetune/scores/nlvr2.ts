/**
 * What the pairs of pictures of one NLVR2 statement have in common: the identifier `split-set-pair-sentence` without its
 * third field, as in lil-lab's `metrics.py`. A statement is consistent when every one of its pairs is answered right.
 */
export function statementOf(identifier: string): string {
  const fields = identifier.split('-');
  fields[2] = '';
  return fields.join('-');
}
