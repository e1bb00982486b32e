/** Recognises common faults of a TSV, so that messages can explain them. */
import { base64Length, decodedLength } from './tsvBase64.js';
import { detectionColumns, tsvColumns } from './tsvColumns.js';

const CARRIAGE_RETURN = 13;

/** The end of a message: why a line does not have ten columns; empty if the cause is not known. */
export function columnsHint(line: Buffer): string {
  if (line.length > 0 && line.every((byte) => byte === 0)) {
    return '; it is full of zero bytes, which may be an incomplete download';
  }
  if (line.includes(CARRIAGE_RETURN)) {
    return '; its lines end with a carriage return instead of a line feed';
  }
  const text = line.toString('latin1', 0, 4096);
  if (/^\S+ +\d+ +\d+ +\S/.test(text)) return '; there are blanks instead of tabs (an editor may have replaced them)';
  const other = [',', ';', '|'].find((mark) =>
    new RegExp(`^[^${mark}]+[${mark}]\\d+[${mark}]\\d+[${mark}]`).test(text),
  );
  return other === undefined ? '' : `; its columns are separated by "${other}" instead of tabs`;
}

/** Why a column is no integer, as the end of a message. */
export function numberHint(found: string, column: string): string {
  if (found === column) return '; this line is a heading, which a feature TSV does not have';
  if (/^".*"$/.test(found)) return '; columns must not be in quotation marks';
  if (/^b'.*'$/.test(found)) return "; it is written as Python's b'…'";
  return '';
}

/** Whether a column has bytes in Python's notation: `b'…'`. */
export function isPythonBytes(line: Buffer, starts: readonly number[], column: number): boolean {
  const [mark, quote] = [line[starts[column]], line[starts[column] + 1]];
  return mark === 0x62 && (quote === 0x27 || quote === 0x22);
}

/** The column that is probably wrong if the lengths of arrays do not agree with `num_boxes`, and the message. */
export interface LengthFault {
  readonly column: number;
  readonly problem: string;
}

/**
 * Reports `num_boxes` if more arrays agree with each other than with `num_boxes`. Otherwise reports the first array of
 * another length.
 */
export function lengthFault(line: Buffer, starts: readonly number[], numBoxes: number): LengthFault {
  const arrays = detectionColumns.map(([column, size]) => {
    const [start, end] = [starts[column], starts[column + 1] - 1];
    const objects = decodedLength(line, start, end) / size;
    return { column, size, length: end - start, objects, python: isPythonBytes(line, starts, column) };
  });
  const python = arrays.find((array) => array.python);
  if (python) {
    return {
      column: python.column,
      problem: "is written as Python's b'…' (bytes that were not decoded); the base64 alone was expected",
    };
  }
  const agreeing = (count: number) => arrays.filter(({ objects }) => objects === count).length;
  const [first] = arrays.filter(({ length, size }) => length !== base64Length(size * numBoxes));
  const other = arrays.map(({ objects }) => objects).find((count) => agreeing(count) > agreeing(numBoxes));
  if (other !== undefined && agreeing(other) >= 3) {
    return {
      column: tsvColumns.indexOf('num_boxes'),
      problem: `is ${numBoxes}, but ${agreeing(other)} of the ${arrays.length} arrays that it counts are of ${other} objects`,
    };
  }
  const { column, size, length } = first;
  const expected = base64Length(size * numBoxes);
  const hint = arrayHint(line, starts[column], starts[column + 1] - 1, { size, numBoxes });
  return {
    column,
    problem: `has ${length} characters of base64, ${expected} were expected for num_boxes ${numBoxes}${hint}`,
  };
}

/** The end of a message: why an array does not have the expected length. */
function arrayHint(
  line: Buffer,
  start: number,
  end: number,
  { size, numBoxes }: { readonly size: number; readonly numBoxes: number },
): string {
  const bytes = decodedLength(line, start, end);
  const expected = size * numBoxes;
  const isInteger = size === 8;
  if (line[start] === 0x22) return '; columns must not be in quotation marks';
  if (end - start === Math.ceil((expected * 4) / 3)) return '; the = at its end is missing';
  if (bytes === expected / 2)
    return isInteger ? '; are they int32? int64 is needed' : '; are they float16? float32 is needed';
  if (bytes === expected * 2 && !isInteger) return '; are they float64? float32 is needed';
  return Number.isInteger(bytes) ? '' : '; is the column cut off?';
}
