/**
 * Returns the identifier `split-set-pair-sentence` without its third field. It is the same for all pairs of one NLVR2
 * statement, as in lil-lab's `metrics.py`. A statement is consistent if the answer is right for each of its pairs.
 */
export function statementOf(identifier: string): string {
  const fields = identifier.split('-');
  fields[2] = '';
  return fields.join('-');
}
